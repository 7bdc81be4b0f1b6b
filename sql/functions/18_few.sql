create or replace function nearline_data._is_indexed(path jsonpath)
returns boolean
language sql immutable parallel safe
begin atomic
    -- Bounds alone have no index: they would be asked of the whole catalogue. What is in quotes is data.
    select regexp_replace(path::text, $re$"([^"\\]|\\.)*"$re$, '', 'g') like '%==%';
end;
comment on function nearline_data._is_indexed is 'Whether the index on attributes serves a path: one with an equality; null: there is no path.';

create or replace function nearline_data._is_common(path jsonpath, few integer, of_items integer)
returns boolean
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- The index on attributes hands over all that match before the first is counted, which takes long where most do. In a large
-- catalogue some pages tell that sooner; the same ones each time, so that they are in memory.
declare
    seen integer;
    hits integer;
begin
    if of_items <= 50000 then
        return false;
    end if;
    select count(*), count(*) filter (where i.is_active and i.attributes @@ path) into seen, hits
    from nearline_data.item i tablesample system (140000.0 / of_items) repeatable (0);
    return hits >= 8 and hits * of_items::bigint > few * seen::bigint;
end
$$;
comment on function nearline_data._is_common is 'Whether a sample of some 1,400 items says that more than so many match; false where it cannot tell.';

create or replace function nearline_data._few(
    looked_up_by text, few integer, item_kinds text[], path jsonpath, languages text[], blocked jsonpath
)
returns text[]
language sql stable parallel safe
begin atomic
    select case when count(*) <= few then
               coalesce(array_agg(i.item_id) filter (
                   where (looked_up_by = 'kinds' or item_kinds is null or i.kind = any (item_kinds))
                     and (looked_up_by = 'path' or path is null or i.attributes @@ path)
                     and nearline_data._is_spoken(i.language, languages)
                     and not nearline_data._is_met(i.attributes, i.kind, i.language, blocked)
               ), '{}')
           end
    from (
        -- One of three, each by an index of its own; the others are not begun.
        (
            select c.item_id, c.kind, c.language, c.attributes
            from nearline_data.item c
            where looked_up_by = 'path' and c.is_active and c.attributes @@ path
            limit few + 1
        )
        union all
        (
            select c.item_id, c.kind, c.language, c.attributes
            from nearline_data.item c
            where looked_up_by = 'kinds' and c.is_active and c.kind = any (item_kinds)
            limit few + 1
        )
        union all
        (
            -- Of any region; which one is asked above.
            select c.item_id, c.kind, c.language, c.attributes
            from nearline_data.item c
            where looked_up_by = 'languages'
              and c.is_active
              and lower(split_part(c.language, '-', 1) collate "C") = any (array(select split_part(l.tag, '-', 1) from unnest(languages) as l (tag)))
            limit few + 1
        )
    ) i;
end;
comment on function nearline_data._few is 'The items that pass all filters, where at most so many pass the one that they are looked up by (path, kinds or languages); null: more do.';
