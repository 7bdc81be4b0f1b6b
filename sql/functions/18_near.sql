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
    items constant integer := coalesce(nearline_data._items_of(of_version), 0);
    -- Of n items m pass: the vector index is searched wanted * n / m steps far, or m vectors are read, and none is missed.
    -- A step takes as long as some four reads, so below sqrt(4 * wanted * n) reading them all is sooner.
    few constant integer := ceil(sqrt(4.0 * at_most * items));
    among text[];
    looked_up_by text;
    near nearline_data.near_items;
begin
    if search <> 'exact' then
        if nearline_data._is_indexed(path) and not nearline_data._is_common(path, few, items) then
            among := nearline_data._few('path', few, item_kinds, path, languages, blocked);
            looked_up_by := 'path';
        end if;
        if among is null and item_kinds is not null and few >= coalesce(
            (select sum(t.item_count) from nearline_data.topic t where t.attribute = 'kind' and t.value = any (item_kinds)), 0
        ) then
            among := nearline_data._few('kinds', few, item_kinds, path, languages, blocked);
            looked_up_by := 'kinds';
        end if;
        if among is null and languages is not null and few >= coalesce(
            (
                select sum(t.item_count)
                from nearline_data.topic t
                where t.attribute = 'language'
                  and lower(split_part(t.value, '-', 1) collate "C") = any (array(select split_part(l.tag, '-', 1) from unnest(languages) as l (tag)))
            ), 0
        ) then
            among := nearline_data._few('languages', few, item_kinds, path, languages, blocked);
            looked_up_by := 'languages';
        end if;
        if among is not null then
            select array_agg(n.item_id), array_agg(n.similarity)
                 , format(
                       'exact: at most %s active items %s'
                     , few, case looked_up_by when 'path' then 'match' when 'kinds' then 'are of these kinds' else 'are in these languages' end
                   )
                 , looked_up_by
            into near
            from nearline_data._exact_among(interest, of_version, among, left_out, at_most + 20) n;
            return near;
        end if;
    end if;
    if search = 'quick' then
        select array_agg(n.item_id), array_agg(n.similarity), 'by the index' into near
        from nearline_data._nearest(interest, of_version, item_kinds, left_out, at_most + 20) n;
    elsif search <> 'exact' then
        select array_agg(n.item_id), array_agg(n.similarity), 'by the index, with the filters on the way' into near
        from nearline_data._nearest_wanted(interest, of_version, item_kinds, path, languages, left_out, blocked, at_most) n;
    end if;
    if search = 'exact' or search = 'thorough' and coalesce(cardinality(near.item_ids), 0) < at_most then
        select array_agg(n.item_id), array_agg(n.similarity), 'exact: the index did not reach far enough' into near
        from nearline_data._exact_of_all(interest, of_version, item_kinds, path, languages, left_out, blocked, at_most) n;
    end if;
    return near;
end
$$;
comment on function nearline_data._near is 'The items nearest to an interest by the search that serves the filters best.';
