create or replace function nearline_data._near_by_rules(
    interest public.vector, of_version integer, item_kinds text[], path jsonpath, languages text[], left_out text[], blocked jsonpath
  , rules nearline_data.rule_in_force[], at_most integer, search text
)
returns nearline_data.near_items
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- Of each boost and bury the nearest items, as an item far from a person may come to the top, and one that is buried may stay
-- there; and what rules name.
declare
    one nearline_data.rule_in_force;
    kinds text[];
    asked jsonpath;
    hidden jsonpath;
    found_some nearline_data.near_items;
    near nearline_data.near_items;
begin
    select array_agg(n.item_id), array_agg((- (e.vector operator(public.<#>) interest))::real) into near
    from (
        select distinct i.item_id
        from unnest(rules) r
        cross join lateral unnest(r.item_ids) as i (item_id)
        where r.action in ('pin', 'boost', 'bury') and i.item_id <> all (coalesce(left_out, '{}'))
    ) n
    left join nearline_data.item_embedding e on e.model_version = of_version and e.item_id = n.item_id;
    foreach one in array rules loop
        continue when one.action not in ('boost', 'bury') or one.item_ids is not null;
        kinds := case when one.item_kinds is null then item_kinds
                      when item_kinds is null then one.item_kinds
                      else array(select k.kind from unnest(item_kinds) as k (kind) where k.kind = any (one.item_kinds))
                 end;
        continue when kinds = '{}';
        asked := nullif(concat_ws(' && ', '(' || path::text || ')', '(' || one.attributes_path::text || ')'), '')::jsonpath;
        -- Languages have no argument of their own beside those that are asked for. A path may be unknown, and then it is not met.
        hidden := case when strpos(one.path::text, '$"language"') > 0 then
                      concat_ws(' || ', '(' || blocked::text || ')', format('!(%1$s) || ((%1$s) is unknown)', one.path))::jsonpath
                  else blocked end;
        if interest is not null then
            found_some := nearline_data._near(interest, of_version, kinds, asked, languages, left_out, hidden, at_most, search);
        else
            select array_agg(p.item_id), array_agg(null::real) into found_some
            from nearline_data._popular(kinds, asked, languages, left_out, hidden, at_most) p;
        end if;
        near.item_ids := near.item_ids || found_some.item_ids;
        near.similarities := near.similarities || found_some.similarities;
    end loop;
    return near;
end
$$;
comment on function nearline_data._near_by_rules is 'The items that rules may bring into a list: those they name, and of each boost and bury the nearest, or the most popular for somebody of whom nothing is known.';

create or replace function nearline_data._ruled(
    pool nearline_data.candidate[], rules nearline_data.rule_in_force[]
  , out items nearline_data.ruled_item[], out caps integer[], out cap_paths text[]
)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    with item as materialized (
        select c.place, c.item_id, i.kind, i.language, i.attributes
             , jsonb_build_object('kind', i.kind, 'language', i.language) as variables
        from unnest(pool) with ordinality as c (item_id, kind, title, interest_part, transition_part, popular_part, fresh_part, score, place)
        cross join lateral (
            select w.kind, w.language, w.attributes from nearline_data.item w where w.item_id = c.item_id offset 0
        ) i
    ), concerned as materialized (
        select i.place, i.item_id, i.kind, i.language, i.attributes
             , r.name, r.action, r.path, r.at_position, r.strength, r.at_most, r.per, r.phrase, array_position(r.item_ids, i.item_id) as nth
        from item i
        cross join unnest(rules) r
        where r.action <> 'block'
          and case when r.item_ids is not null then i.item_id = any (r.item_ids)
                   else r.path is null or coalesce(jsonb_path_match(i.attributes, r.path, i.variables, true), false)
              end
    ), moved as materialized (
        select c.place
             , coalesce(sum(case c.action when 'boost' then c.strength when 'bury' then -c.strength end::double precision), 0) as strength
             , array_agg(distinct c.name) as rules
             , (array_agg(c.phrase order by c.action = 'pin' desc, c.name) filter (where c.action in ('pin', 'boost')))[1] as phrase
        from concerned c
        where c.action <> 'cap'
        group by c.place
    ), capped as materialized (
        select c.place, c.at_most, concat_ws(' && ', '(' || c.path::text || ')', format('%s == %s', p.field, v.value)) as path
             , dense_rank() over (order by c.name, v.value) as number
        from concerned c
        cross join lateral (
            select case c.per when 'kind' then to_jsonb(c.kind) when 'language' then to_jsonb(c.language) else c.attributes -> c.per end as held
                 , case when c.per in ('kind', 'language') then '$' || c.per else '$.' || to_json(c.per) end as field
        ) p
        cross join lateral jsonb_path_query(p.held, '$[*]') as v (value)
        where c.action = 'cap' and jsonb_typeof(v.value) in ('string', 'number', 'boolean')
    ), pinned as materialized (
        -- At the position it asks for, or after the one before it.
        select o.place, (o.pin_order + max(o.at_position - o.pin_order) over (order by o.pin_order))::integer as pin_place
        from (
            select p.place, p.at_position, row_number() over (order by p.at_position, p.name, p.nth) as pin_order
            from (
                select distinct on (c.place) c.place, c.at_position, c.name, c.nth
                from concerned c
                where c.action = 'pin'
                order by c.place, c.at_position, c.name, c.nth
            ) p
        ) o
    )
    select (
               select array_agg(
                   row(
                       row(
                           c.item_id, c.kind, c.title, c.interest_part, c.transition_part, c.popular_part, c.fresh_part
                         , (c.score + coalesce(m.strength, 0))::real
                       )::nearline_data.candidate
                     , m.rules, m.phrase, n.pin_place, g.numbers
                   )::nearline_data.ruled_item
                   order by c.score + coalesce(m.strength, 0) desc, c.place
               )
               from unnest(pool) with ordinality as c (
                   item_id, kind, title, interest_part, transition_part, popular_part, fresh_part, score, place
               )
               left join moved m on m.place = c.place
               left join pinned n on n.place = c.place
               left join (select k.place, array_agg(distinct k.number::integer) as numbers from capped k group by k.place) g on g.place = c.place
           )
         , (select array_agg(k.at_most order by k.number) from (select k.number, min(k.at_most) as at_most from capped k group by k.number) k)
         , (select array_agg(k.path order by k.number) from (select k.number, min(k.path) as path from capped k group by k.number) k)
    into items, caps, cap_paths;
end
$$;
comment on function nearline_data._ruled is 'A pool with its boosts and buries, best first, and with what pins and caps say of each item. caps: how many items of each group a list may have; cap_paths: which items a group is of.';

create or replace function nearline_data._is_full(room integer[], capped_by integer[])
returns boolean
language sql immutable parallel safe
begin atomic
    select capped_by is not null and exists (select from unnest(capped_by) as g (number) where room[g.number] <= 0);
end;
comment on function nearline_data._is_full is 'Whether one of an item''s groups has no room left.';

create or replace function nearline_data._counted(room integer[], capped_by integer[])
returns integer[]
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    number integer;
begin
    if capped_by is not null then
        foreach number in array capped_by loop
            room[number] := room[number] - 1;
        end loop;
    end if;
    return room;
end
$$;
comment on function nearline_data._counted is 'The room that is left in each group once an item is in the list.';

create or replace function nearline_data._chosen(
    ruled nearline_data.ruled_item[], caps integer[], of_version integer, how_diverse double precision, wanted integer, pool_size integer
  , out chosen nearline_data.ruled_item[], out full_caps integer[]
)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    one nearline_data.ruled_item;
    pins nearline_data.ruled_item[] := array(select p from unnest(ruled) p where p.pin_place is not null order by p.pin_place);
    others nearline_data.ruled_item[] := '{}';
    -- To be diverse is to choose among more: of what caps allow as much more.
    room integer[] := case when how_diverse > 0 then array(select 5 * c.at_most + 20 from unnest(caps) with ordinality as c (at_most, n) order by c.n) else caps end;
    left_over integer[] := caps;
    needed integer := wanted;
    next_pin integer := 1;
    next_other integer := 1;
begin
    foreach one in array pins loop
        if one.pin_place <= wanted then
            needed := needed - 1;
            left_over := nearline_data._counted(left_over, one.capped_by);
            room := nearline_data._counted(room, one.capped_by);
        end if;
    end loop;
    foreach one in array ruled loop
        exit when cardinality(others) = case when how_diverse > 0 then pool_size else needed end;
        continue when one.pin_place is not null or nearline_data._is_full(room, one.capped_by);
        others := others || one;
        room := nearline_data._counted(room, one.capped_by);
    end loop;
    if how_diverse > 0 and cardinality(others) > 0 then
        others := array(
            select others[d.place]
            from unnest(nearline_data._diversified(
                array(select o.item from unnest(others) with ordinality as o (item, rules, phrase, pin_place, capped_by, n) order by o.n)
              , of_version, how_diverse, needed, others, left_over
            )) with ordinality as d (place, n)
            order by d.n
        );
    end if;
    foreach one in array others loop
        left_over := nearline_data._counted(left_over, one.capped_by);
    end loop;
    chosen := '{}';
    while cardinality(chosen) < wanted loop
        if next_pin <= cardinality(pins)
           and ((pins[next_pin]).pin_place <= cardinality(chosen) + 1 or next_other > cardinality(others)) then
            chosen := chosen || pins[next_pin];
            next_pin := next_pin + 1;
        else
            exit when next_other > cardinality(others);
            chosen := chosen || others[next_other];
            next_other := next_other + 1;
        end if;
    end loop;
    full_caps := array(select c.n::integer from unnest(left_over) with ordinality as c (room, n) where c.room <= 0);
end
$$;
comment on function nearline_data._chosen is 'A list from a ruled pool: diverse, within its caps, its pins where they belong. full_caps: groups of which no more may come.';
