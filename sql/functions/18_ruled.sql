create or replace function nearline_data._both_kinds(kinds text[], others text[])
returns text[]
language sql immutable parallel safe
begin atomic
    select case when kinds is null then others
                when others is null then kinds
                else array(select k.kind from unnest(kinds) as k (kind) where k.kind = any (others))
           end;
end;
comment on function nearline_data._both_kinds is 'The kinds that are in both; null: all kinds.';

create or replace function nearline_data._is_not_met(by_rules jsonpath, blocked jsonpath)
returns jsonpath
language sql immutable parallel safe
begin atomic
    -- A path may be unknown, and then it is not met.
    select concat_ws(' || ', '(' || blocked::text || ')', format('!(%1$s) || ((%1$s) is unknown)', by_rules))::jsonpath;
end;
comment on function nearline_data._is_not_met is 'What is blocked, and all that a path is not about, as a path of what is hidden.';

create or replace function nearline_data._near_by_rules(
    interest public.vector, of_version integer, asked_kinds text[], asked_path jsonpath, languages text[], left_out text[], blocked jsonpath
  , rules nearline_data.rule_in_force[], at_most integer, search text, interest_weight real
)
returns nearline_data.near_items
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- An item far from a person may come to the top, and one that is buried may stay there; and what rules name.
-- Of rules that are about few items each all are looked up, and those taken that all their strengths together leave best. Of
-- the others the nearest are taken, in at most 8 searches: where there are more rules, those of like strength share one.
declare
    items constant integer := coalesce(nearline_data._items_of(of_version), 0);
    -- As _near, which knows more of a large catalogue; and 40000 for all rules together take some 50 ms.
    few constant integer := case when items > 50000 then 0 else least(ceil(sqrt(4.0 * at_most * items)), 40000 / cardinality(rules)) end;
    one record;
    of_many nearline_data.rule_in_force[];
    found_some nearline_data.near_items;
    near nearline_data.near_items;
begin
    with met as materialized (
        select r, case r.action when 'boost' then r.strength else - r.strength end as strength
             , case when few > 0 and nearline_data._is_indexed(r.attributes_path) then
                   nearline_data._few(
                       'path', few, nearline_data._both_kinds(asked_kinds, r.item_kinds)
                     , concat_ws(' && ', '(' || asked_path::text || ')', '(' || r.attributes_path::text || ')')::jsonpath
                     , languages, case when strpos(r.path::text, '$"language"') > 0 then nearline_data._is_not_met(r.path, blocked) else blocked end
                   )
               end as item_ids
        from unnest(rules) r
        where r.action in ('boost', 'bury') and r.item_ids is null
    ), moved as materialized (
        select i.item_id, sum(m.strength) as strength
        from met m
        cross join lateral unnest(m.item_ids) as i (item_id)
        where i.item_id not in (select s.item_id from unnest(left_out) as s (item_id))
        group by i.item_id
    ), best as materialized (
        select m.item_id, s.similarity
        from moved m
        cross join lateral (
            select (- (e.vector operator(public.<#>) interest))::real as similarity, null::double precision as share
            from nearline_data.item_embedding e
            where interest is not null and e.model_version = of_version and e.item_id = m.item_id
            union all
            select null, p.score / (select max(b.score) from nearline_data.item_popularity b)
            from nearline_data.item_popularity p
            where interest is null and p.item_id = m.item_id
        ) s
        order by coalesce(s.similarity * interest_weight, s.share) + m.strength desc
        -- Where others are about many, what they add is not known here: as many as may be asked of all rules in some 10 ms.
        limit case when exists (select from met o where o.item_ids is null) then greatest(at_most, 40000 / cardinality(rules)) else at_most end
    ), named as materialized (
        select n.item_id, (- (e.vector operator(public.<#>) interest))::real as similarity
        from (
            select distinct i.item_id
            from unnest(rules) r
            cross join lateral unnest(r.item_ids) as i (item_id)
            where r.action in ('pin', 'boost', 'bury') and i.item_id <> all (coalesce(left_out, '{}'))
        ) n
        left join nearline_data.item_embedding e on e.model_version = of_version and e.item_id = n.item_id
    )
    select (select array_agg(m.r) from met m where m.item_ids is null)
         , array(select b.item_id from best b) || array(select n.item_id from named n)
         , array(select b.similarity from best b) || array(select n.similarity from named n)
    into of_many, near.item_ids, near.similarities;
    for one in
        select nearline_data._both_kinds(
                   asked_kinds
                 , case when bool_and(g.item_kinds is not null) then
                       array(select distinct k.kind from unnest(array_agg(array_to_json(g.item_kinds))) j cross join lateral json_array_elements_text(j) as k (kind))
                   end
               ) as kinds
             , case when bool_and(g.attributes_path is not null) then nearline_data._any_of(array_agg(g.attributes_path::text)) end as attributes_path
               -- Languages have no argument of their own beside those that are asked for, nor have the kinds of one rule of several.
             , case when bool_or(strpos(g.path::text, '$"language"') > 0) or (count(*) > 1 and bool_or(g.item_kinds is not null)) then
                   nearline_data._is_not_met(nearline_data._any_of(array_agg(g.path::text)), blocked)
               else blocked end as hidden
             , least(count(*) * at_most, greatest(at_most, 5000 / cardinality(rules)))::integer as at_most
        from (
            select r.item_kinds, r.path, r.attributes_path, ntile(8) over (order by r.action, r.strength, r.name) as part
            from unnest(of_many) r
        ) g
        group by g.part
    loop
        continue when one.kinds = '{}';
        one.attributes_path := nullif(concat_ws(' && ', '(' || asked_path::text || ')', '(' || one.attributes_path::text || ')'), '')::jsonpath;
        if interest is not null then
            found_some := nearline_data._near(
                interest, of_version, one.kinds, one.attributes_path, languages, left_out, one.hidden, one.at_most, search
            );
        else
            select array_agg(p.item_id), array_agg(null::real) into found_some
            from nearline_data._popular(one.kinds, one.attributes_path, languages, left_out, one.hidden, one.at_most) p;
        end if;
        near.item_ids := near.item_ids || found_some.item_ids;
        near.similarities := near.similarities || found_some.similarities;
    end loop;
    return near;
end
$$;
comment on function nearline_data._near_by_rules is 'The items that rules may bring into a list: those they name, and of boosts and buries the best, or the most popular for somebody of whom nothing is known.';

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
    others nearline_data.ruled_item[];
    -- To be diverse is to choose among more: of what caps allow as much more.
    room integer[];
    left_over integer[];
    counted integer := (select count(*) from unnest(pins) p where p.pin_place <= wanted);
    next_pin integer;
    next_other integer;
begin
    loop
        room := case when how_diverse > 0 then array(select 5 * c.at_most + 20 from unnest(caps) with ordinality as c (at_most, n) order by c.n) else caps end;
        left_over := caps;
        foreach one in array pins[:counted] loop
            left_over := nearline_data._counted(left_over, one.capped_by);
            room := nearline_data._counted(room, one.capped_by);
        end loop;
        others := '{}';
        foreach one in array ruled loop
            exit when cardinality(others) = case when how_diverse > 0 then pool_size else wanted - counted end;
            continue when one.pin_place is not null or nearline_data._is_full(room, one.capped_by);
            others := others || one;
            room := nearline_data._counted(room, one.capped_by);
        end loop;
        if how_diverse > 0 and cardinality(others) > 0 then
            others := array(
                select others[d.place]
                from unnest(nearline_data._diversified(
                    array(select o.item from unnest(others) with ordinality as o (item, rules, phrase, pin_place, capped_by, n) order by o.n)
                  , of_version, how_diverse, wanted - counted, others, left_over
                )) with ordinality as d (place, n)
                order by d.n
            );
        end if;
        foreach one in array others loop
            left_over := nearline_data._counted(left_over, one.capped_by);
        end loop;
        chosen := '{}';
        next_pin := 1;
        next_other := 1;
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
        -- Of the first choice: what is full only for a pin at the end of a short list has room in one that further items fill.
        full_caps := coalesce(full_caps, array(select c.n::integer from unnest(left_over) with ordinality as c (room, n) where c.room <= 0));
        -- A short list has at its end pins that were to stand further down: they count too.
        exit when next_pin - 1 <= counted;
        counted := next_pin - 1;
    end loop;
end
$$;
comment on function nearline_data._chosen is 'A list from a ruled pool: diverse, within its caps, its pins where they belong. full_caps: groups of which no more may come.';
