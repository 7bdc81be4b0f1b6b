create or replace function nearline_data._any_of(paths text[])
returns jsonpath
language sql immutable parallel safe
begin atomic
    select string_agg('(' || p.path || ')', ' || ')::jsonpath from unnest(paths) as p (path);
end;
comment on function nearline_data._any_of is 'A JSON path that is met where one of some is; null where there is none.';

create or replace function nearline_data._ruled_listing(
    for_person nearline_data.person, of_version integer, wanted integer, pool_size integer
  , asked_kinds text[], path jsonpath, languages text[], how_diverse double precision, by_strategy nearline_data.strategy
  , rules nearline_data.rule_in_force[], with_stages boolean
)
returns nearline_data.listing
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    -- Some of what is nearest is moved down or passed over.
    near_size constant integer := least(2 * pool_size + 50, 1050);
    is_small constant boolean := coalesce(nearline_data._items_of(of_version), 0) <= 10000;
    -- What rules bring besides is not worth a look at all of a large catalogue at each list.
    further constant text := case when is_small then 'thorough' else 'nearby' end;
    is_all boolean;
    reach integer;
    filled integer;
    -- Paths as variables: what is handed to a query as an expression is made anew for each item.
    shut jsonpath;
    shut_or_hidden jsonpath;
    asked_for text[];
    left_out constant text[] := for_person.seen || array(
        select i.item_id from unnest(rules) r cross join lateral unnest(r.item_ids) as i (item_id) where r.action = 'block'
    );
    blocked constant jsonpath := nearline_data._any_of(
        array(select r.path::text from unnest(rules) r where r.action = 'block')
    );
    -- What is buried or pinned is fetched on its own: it must not take the places of what comes up instead.
    apart constant text[] := left_out || array(
        select i.item_id from unnest(rules) r cross join lateral unnest(r.item_ids) as i (item_id) where r.action in ('bury', 'pin')
    );
    hidden constant jsonpath := nearline_data._any_of(array(
        select r.path::text
        from unnest(rules) r
        where r.action = 'block'
           -- One that is about all that is asked for has nothing come up.
           or (r.action = 'bury' and not (
               r.attributes_path is null and strpos(r.path::text, '$"language"') = 0 and coalesce(asked_kinds <@ r.item_kinds, false)
           ))
    ));
    interest constant public.vector := for_person.interest;
    is_moving constant boolean := exists (select from unnest(rules) r where r.action in ('pin', 'boost', 'bury'));
    -- Of what these are about only the nearest are read, and they may be of groups that are at their cap.
    is_describing constant boolean := exists (select from unnest(rules) r where r.action in ('boost', 'bury') and r.item_ids is null);
    by_rules nearline_data.near_items;
    found_some nearline_data.near_items;
    near nearline_data.near_items;
    pool nearline_data.candidate[];
    ruled record;
    chosen nearline_data.ruled_item[];
    full_caps integer[];
    full_paths text[] := '{}';
    new_paths text[];
    found_before integer;
    listing nearline_data.listing;
    started timestamptz := clock_timestamp();
begin
    for round in 1 .. 6 loop
        found_before := coalesce(cardinality(near.item_ids), 0);
        -- What is alike stands together, and so do groups: the nearest may be of one after the other, each at its cap soon. Of a
        -- small catalogue all the others are read then, once, so that a short list is short only where there is nothing.
        is_all := round > 2 and is_small and filled < wanted;
        reach := case when is_all then 10000 else least(near_size * 2 ^ (round - 1), greatest(near_size, 2000)) end;
        shut := nearline_data._any_of(full_paths || blocked::text);
        shut_or_hidden := nearline_data._any_of(full_paths || hidden::text);
        if is_moving and not is_all then
            by_rules := nearline_data._near_by_rules(
                interest, of_version, asked_kinds, path, languages, left_out
              , shut, rules, near_size, further
              , by_strategy.interest_weight
            );
        end if;
        if with_stages and ((is_moving and not is_all) or round = 1) then
            listing.stages := nearline_data._staged(
                listing.stages, started, 'rules'
              , (
                    select string_agg(format('%s %s', a.action, a.names), '; ' order by a.action)
                    from (
                        select r.action, string_agg(quote_literal(r.name), ', ' order by r.name) as names
                        from unnest(rules) r
                        group by r.action
                    ) a
                )
              , null, coalesce(cardinality(by_rules.item_ids), 0)
            );
            started := clock_timestamp();
        end if;
        if interest is null then
            select array_agg(p.item_id), array_agg(null::real), 'popular: nothing is known of the person or of newcomers' into found_some
            from nearline_data._popular(
                asked_kinds, path, languages, case when is_all then left_out else apart end
              , case when is_all then shut else shut_or_hidden end, reach
            ) p;
        elsif is_all then
            select array_agg(n.item_id), array_agg(n.similarity), 'exact: all of groups that are not at their cap' into found_some
            from nearline_data._exact_of_all(interest, of_version, asked_kinds, path, languages, left_out, shut, reach) n;
        else
            found_some := nearline_data._near(
                interest, of_version, asked_kinds, path, languages, apart, shut_or_hidden
              , reach, case when round = 1 then 'thorough' when round > 2 and is_small then 'exact' else further end
            );
        end if;
        asked_for := nearline_data._asked_for(
            by_strategy, asked_kinds, path, languages, left_out, shut, found_some, near_size
        );
        select array_agg(n.item_id), array_agg(n.similarity) into near.item_ids, near.similarities
        from (
            select distinct on (n.item_id) n.item_id, n.similarity
            from unnest(
                near.item_ids || by_rules.item_ids || found_some.item_ids || asked_for
              , near.similarities || by_rules.similarities || found_some.similarities
                || array_fill(null::real, array[coalesce(cardinality(asked_for), 0)])
            ) as n (item_id, similarity)
        ) n;
        if with_stages then
            listing.stages := nearline_data._staged(
                listing.stages, started, 'nearest', found_some.how, nearline_data._items_of(of_version), coalesce(cardinality(found_some.item_ids), 0)
            );
            started := clock_timestamp();
        end if;
        -- All of them: what has a low score may be boosted.
        select array_agg(row(c.*)::nearline_data.candidate) into pool
        from nearline_data._candidates(
            interest, of_version, for_person.recent
          , near.item_ids, near.similarities
          , asked_kinds, path, languages, left_out, blocked, by_strategy, for_person.user_id
          , coalesce(cardinality(near.item_ids), 0) + 2 * pool_size + 200
        ) c;
        if interest is null and not exists (select from unnest(pool) p where coalesce(p.transition_part, p.popular_part, p.fresh_part) is not null) then
            select array_agg(
                       row(
                           c.item_id, c.kind, c.title, c.interest_part, c.transition_part, s.share, c.fresh_part, coalesce(s.share, 0)
                       )::nearline_data.candidate
                       order by s.share desc nulls last, c.item_id
                   )
            into pool
            from unnest(pool) c
            left join lateral (
                select (p.score / (select max(m.score) from nearline_data.item_popularity m))::real as share
                from nearline_data.item_popularity p
                where p.item_id = c.item_id
            ) s on true;
        end if;
        if with_stages then
            listing.stages := nearline_data._staged(
                listing.stages, started, 'candidates', 'the nearest, what follows the newest events, what the strategy and the rules ask for'
              , coalesce(cardinality(near.item_ids), 0), coalesce(cardinality(pool), 0)
            );
            started := clock_timestamp();
        end if;
        exit when pool is null;
        ruled := nearline_data._ruled(pool, rules);
        select c.chosen, c.full_caps into chosen, full_caps
        from nearline_data._chosen(ruled.items, ruled.caps, of_version, how_diverse, wanted, pool_size) c;
        if with_stages then
            listing.stages := nearline_data._staged(
                listing.stages, started, 'choice'
              , concat_ws(
                    ', ', case when how_diverse > 0 then 'diversity ' || how_diverse else 'the best' end
                  , (select format('%s moved by rules', count(*)) from unnest(ruled.items) i where i.rules is not null)
                  , case when full_caps <> '{}' then format('%s groups at their cap', cardinality(full_caps)) end
                )
              , coalesce(cardinality(pool), 0), coalesce(cardinality(chosen), 0)
            );
            started := clock_timestamp();
        end if;
        -- What was near may all be of groups that are at their cap now: what is near of the others?
        new_paths := array(
            select p.path
            from unnest(ruled.cap_paths) with ordinality as p (path, n)
            where p.n = any (full_caps) and p.path <> all (full_paths)
        );
        exit when new_paths = '{}' or is_all;
        -- Pins that were to stand further down leave their places to what is found yet.
        filled := (select count(*) from unnest(chosen) c where coalesce(c.pin_place, 0) <= wanted);
        exit when
               -- Nothing that was not read comes before the last of the list.
               (filled >= wanted and not is_describing and coalesce(
                   (select min((c.item).score) from unnest(chosen) c where c.pin_place is null)
                   >= by_strategy.interest_weight * (select min(n.similarity) from unnest(found_some.similarities) as n (similarity)), true
               ))
               or (round > 1 and cardinality(near.item_ids) = found_before);
        full_paths := full_paths || new_paths;
    end loop;
    select array_agg(c.item order by c.place)
         , array_agg(
               case when c.rules is not null then jsonb_build_object('rules', c.rules, 'phrase', c.phrase) end
               order by c.place
           )
    into listing.pool, listing.reasons
    from unnest(chosen) with ordinality as c (item, rules, phrase, pin_place, capped_by, place);
    return listing;
end
$$;
comment on function nearline_data._ruled_listing is 'A list where rules hold: blocks first, then boosts and buries, diversity and caps, and pins last. reasons: the rules that move each item.';
