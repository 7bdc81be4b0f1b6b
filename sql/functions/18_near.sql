create or replace function nearline_data._are_few(path jsonpath, few integer, of_items integer)
returns boolean
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    seen integer;
    hits integer;
begin
    -- The index on attributes hands over all that match before the first is counted, which takes long where most do. In a
    -- large catalogue some pages tell that sooner; the same ones each time, so that they are in memory.
    if of_items > 50000 then
        select count(*), count(*) filter (where i.is_active and i.attributes @@ path) into seen, hits
        from nearline_data.item i tablesample system (140000.0 / of_items) repeatable (0);
        if hits >= 8 and hits * of_items::bigint > few * seen::bigint then
            return false;
        end if;
    end if;
    return (
        select count(*) <= few
        from (select from nearline_data.item i where i.is_active and i.attributes @@ path limit few + 1) i
    );
end
$$;
comment on function nearline_data._are_few is 'Whether at most so many active items match; a sample of some 1,400 says so first of a filter that many pass.';

create or replace function nearline_data._near(
    interest public.vector, of_version integer, item_kinds text[], path jsonpath, languages text[], left_out text[], blocked jsonpath
  , at_most integer, search text
)
returns nearline_data.near_items
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- search: quick (the index alone, some may not be active), nearby (by the index, only what passes the filters), thorough (and all of
-- the catalogue where the index does not reach far enough), exact.
declare
    items integer;
    few integer;
    is_exact boolean := search = 'exact';
    why text := 'the index did not reach far enough';
    near nearline_data.near_items;
begin
    -- Of n items m match: the vector index is searched wanted * n / m steps far, or m vectors are read, and none is missed.
    -- A step takes as long as some six reads, so below sqrt(6 * wanted * n) reading them all is sooner. Bounds alone
    -- would be asked of the whole catalogue.
    if not is_exact and path is not null and regexp_replace(path::text, '"([^"\\]|\\.)*"', '', 'g') like '%==%' then
        items := coalesce(nearline_data._items_of(of_version), 0);
        few := ceil(sqrt(6.0 * at_most * items));
        is_exact := nearline_data._are_few(path, few, items);
        why := format('at most %s active items match', few);
    end if;
    if not is_exact and search = 'quick' then
        select array_agg(n.item_id), array_agg(n.similarity), 'by the index' into near
        from nearline_data._nearest(interest, of_version, item_kinds, left_out, at_most + 20) n;
    elsif not is_exact then
        select array_agg(n.item_id), array_agg(n.similarity), 'by the index, with the filters on the way' into near
        from nearline_data._nearest_wanted(interest, of_version, item_kinds, path, languages, left_out, blocked, at_most) n;
        is_exact := search = 'thorough' and coalesce(cardinality(near.item_ids), 0) < at_most;
        why := 'the index did not reach far enough';
    end if;
    if is_exact and path is not null then
        select array_agg(n.item_id), array_agg(n.similarity), 'exact: ' || why into near
        from nearline_data._exact_wanted(interest, of_version, item_kinds, path, languages, left_out, blocked, at_most) n;
    elsif is_exact then
        select array_agg(n.item_id), array_agg(n.similarity), 'exact: ' || why into near
        from nearline_data._exact_of_kinds(interest, of_version, item_kinds, languages, left_out, blocked, at_most) n;
    end if;
    return near;
end
$$;
comment on function nearline_data._near is 'The items nearest to an interest by the search that serves the filters best.';
