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

create or replace function nearline_data._few_that_match(
    few integer, item_kinds text[], path jsonpath, languages text[], blocked jsonpath
)
returns text[]
language sql stable parallel safe
begin atomic
    select case when count(*) <= few then
               coalesce(array_agg(i.item_id) filter (
                   where (item_kinds is null or i.kind = any (item_kinds))
                     and nearline_data._is_spoken(i.language, languages)
                     and not nearline_data._is_met(i.attributes, i.kind, i.language, blocked)
               ), '{}')
           end
    from (
        select c.item_id, c.kind, c.language, c.attributes
        from nearline_data.item c
        where c.is_active and c.attributes @@ path
        limit few + 1
    ) i;
end;
comment on function nearline_data._few_that_match is 'The items that pass all filters, where at most so many match the path; null: more do.';

create or replace function nearline_data._few_of_kinds(
    few integer, item_kinds text[], path jsonpath, languages text[], blocked jsonpath
)
returns text[]
language sql stable parallel safe
begin atomic
    select case when count(*) <= few then
               coalesce(array_agg(i.item_id) filter (
                   where (path is null or i.attributes @@ path)
                     and nearline_data._is_spoken(i.language, languages)
                     and not nearline_data._is_met(i.attributes, i.kind, i.language, blocked)
               ), '{}')
           end
    from (
        select c.item_id, c.kind, c.language, c.attributes
        from nearline_data.item c
        where c.is_active and c.kind = any (item_kinds)
        limit few + 1
    ) i;
end;
comment on function nearline_data._few_of_kinds is 'The items that pass all filters, where at most so many are of these kinds; null: more are.';

create or replace function nearline_data._few_in_languages(
    few integer, item_kinds text[], path jsonpath, languages text[], blocked jsonpath
)
returns text[]
language sql stable parallel safe
begin atomic
    select case when count(*) <= few then
               coalesce(array_agg(i.item_id) filter (
                   where (item_kinds is null or i.kind = any (item_kinds))
                     and (path is null or i.attributes @@ path)
                     and nearline_data._is_spoken(i.language, languages)
                     and not nearline_data._is_met(i.attributes, i.kind, i.language, blocked)
               ), '{}')
           end
    from (
        select c.item_id, c.kind, c.language, c.attributes
        from nearline_data.item c
        where c.is_active
          and split_part(c.language, '-', 1) = any (array(select split_part(l.tag, '-', 1) from unnest(languages) as l (tag)))
        limit few + 1
    ) i;
end;
comment on function nearline_data._few_in_languages is 'The items that pass all filters, where at most so many are in these languages, of any region; null: more are.';
