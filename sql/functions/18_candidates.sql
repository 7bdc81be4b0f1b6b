create or replace function nearline_data._nearest(
    to_interest vector, of_version integer, item_kinds text[], seen text[], at_most integer
)
returns table (item_id text, similarity real)
language sql stable parallel safe
begin atomic
    select e.item_id, (- (e.vector <#> to_interest))::real
    from nearline_data.item_embedding e
    where e.model_version = of_version
      and (item_kinds is null or e.kind = any (item_kinds))
      and e.item_id not in (select s.item_id from unnest(seen) as s (item_id))
    order by e.vector <#> to_interest
    limit at_most;
end;
comment on function nearline_data._nearest is 'Items nearest to an interest, by the index; some may not be active.';

create or replace function nearline_data._nearest_wanted(
    to_interest vector, of_version integer, item_kinds text[], path jsonpath, languages text[], seen text[], blocked jsonpath
  , at_most integer
)
returns table (item_id text, similarity real)
language sql stable parallel safe
begin atomic
    -- The filter is asked of each item on the way, never joined: a join would begin with the whole catalogue.
    select e.item_id, (- (e.vector <#> to_interest))::real
    from nearline_data.item_embedding e
    where e.model_version = of_version
      and (item_kinds is null or e.kind = any (item_kinds))
      and e.item_id not in (select s.item_id from unnest(seen) as s (item_id))
      and (
          select i.is_active
             and (path is null or i.attributes @@ path)
             and nearline_data._is_spoken(i.language, languages)
             and not nearline_data._is_met(i.attributes, i.kind, i.language, blocked)
          from nearline_data.item i
          where i.item_id = e.item_id
      )
    order by e.vector <#> to_interest
    limit at_most;
end;
comment on function nearline_data._nearest_wanted is 'Items nearest to an interest that pass the filters, by the index: as far as hnsw.max_scan_tuples reaches.';

create or replace function nearline_data._exact_among(
    to_interest vector, of_version integer, among text[], seen text[], at_most integer
)
returns table (item_id text, similarity real)
language sql stable parallel safe
begin atomic
    select a.item_id, (- (e.vector <#> to_interest))::real
    from unnest(among) as a (item_id)
    cross join lateral (
        select v.vector from nearline_data.item_embedding v where v.model_version = of_version and v.item_id = a.item_id
        offset 0  -- a fence: as many looks into an index, never a join with the whole table
    ) e
    where a.item_id not in (select s.item_id from unnest(seen) as s (item_id))
    order by e.vector <#> to_interest, a.item_id
    limit at_most;
end;
comment on function nearline_data._exact_among is 'Of some items those nearest to an interest: exact, and fast where there are few.';

create or replace function nearline_data._exact_of_all(
    to_interest vector, of_version integer, item_kinds text[], path jsonpath, languages text[], seen text[], blocked jsonpath
  , at_most integer
)
returns table (item_id text, similarity real)
language sql stable parallel safe
begin atomic
    select i.item_id, (- (e.vector <#> to_interest))::real
    from nearline_data.item i
    join nearline_data.item_embedding e on e.model_version = of_version and e.item_id = i.item_id
    where i.is_active
      and (item_kinds is null or i.kind = any (item_kinds))
      and (path is null or i.attributes @@ path)
      and nearline_data._is_spoken(i.language, languages)
      and not nearline_data._is_met(i.attributes, i.kind, i.language, blocked)
      and i.item_id not in (select s.item_id from unnest(seen) as s (item_id))
    order by (e.vector <#> to_interest) + 0  -- not by the index: it is no nearer search that is wanted, but all of them
    limit at_most;
end;
comment on function nearline_data._exact_of_all is 'Of all items that pass the filters those nearest to an interest: exact, and slow in a large catalogue.';

create or replace function nearline_data._asked_for(
    by_strategy nearline_data.strategy, item_kinds text[], path jsonpath, languages text[], seen text[], blocked jsonpath
  , near nearline_data.near_items, at_most integer
)
returns text[]
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- What may be in no list is passed over on the way: it must not take the places of what may.
declare
    among text[];
    but text[];
begin
    if by_strategy.popular_weight = 0 and by_strategy.fresh_weight = 0 then
        return null;
    end if;
    but := seen || near.item_ids;
    if near.looked_up_by is not null then
        -- So few pass that _near has looked them all up: until as many are found one by one, all of the catalogue would be read.
        among := nearline_data._few(near.looked_up_by, 2147483646, item_kinds, path, languages, blocked);
        return array(
            (
                select a.item_id
                from unnest(among) as a (item_id)
                cross join lateral (
                    select p.score from nearline_data.item_popularity p where p.item_id = a.item_id
                    offset 0  -- a fence: as many looks into an index, never a join with the whole table
                ) p
                where by_strategy.popular_weight > 0
                  and a.item_id not in (select x.item_id from unnest(but) as x (item_id))
                order by p.score desc
                limit at_most + 20
            )
            union
            (
                select a.item_id
                from unnest(among) as a (item_id)
                cross join lateral (select i.created_at from nearline_data.item i where i.item_id = a.item_id offset 0) i
                where by_strategy.fresh_weight > 0
                  and a.item_id not in (select x.item_id from unnest(but) as x (item_id))
                order by i.created_at desc
                limit at_most + 20
            )
        );
    end if;
    return array(
        (
            select p.item_id
            from nearline_data.item_popularity p
            where by_strategy.popular_weight > 0
              and (item_kinds is null or p.kind = any (item_kinds))
              and p.item_id not in (select x.item_id from unnest(but) as x (item_id))
              and exists (select from nearline_data._passing(p.item_id, item_kinds, path, languages, blocked))
            order by p.score desc
            limit at_most + 20
        )
        union
        (
            select i.item_id
            from nearline_data.item i
            where by_strategy.fresh_weight > 0
              and i.is_active
              and (item_kinds is null or i.kind = any (item_kinds))
              and (path is null or i.attributes @@ path)
              and nearline_data._is_spoken(i.language, languages)
              and not nearline_data._is_met(i.attributes, i.kind, i.language, blocked)
              and i.item_id not in (select x.item_id from unnest(but) as x (item_id))
            order by i.created_at desc
            limit at_most + 20
        )
    );
end
$$;
comment on function nearline_data._asked_for is 'Items that a strategy wants besides those that are near: what is popular, what is new, of what passes the filters and was not seen; null: none. near: of _near.';

create or replace function nearline_data._fresh_part(created_at timestamptz, fresh_weight real, fresh_days real)
returns real
language sql stable parallel safe
begin atomic
    select (fresh_weight * exp(greatest(
        least(date_part('epoch', created_at - now()), 0) / 86400 / fresh_days
      , -50  -- less is none, and too small a number
    )))::real;
end;
comment on function nearline_data._fresh_part is 'What an item gets for being new.';

create or replace function nearline_data._chance(of_item text, for_user text, exploration real)
returns double precision
language sql stable parallel safe
begin atomic
    -- The hour as a number: as text it would be in the time zone of whoever asks.
    select case when exploration > 0 then
               exploration * - ln(- ln(
                   (
                       (hashtextextended(concat_ws(' ', of_item, for_user, floor(extract(epoch from now()) / 3600)::bigint), 0) & 4294967295)
                       + 0.5::double precision
                   ) / 4294967296
               ))
           else 0 end;
end;
comment on function nearline_data._chance is 'What an item gets by chance, drawn anew for each person and hour.';

create or replace function nearline_data._passing(
    of_item text, item_kinds text[], path jsonpath, languages text[], blocked jsonpath
)
returns table (kind text, title text)
language sql stable parallel safe
begin atomic
    -- One query without variables of its own, so that it becomes part of the query that calls it.
    select w.kind, w.title
    from nearline_data.item w
    where w.item_id = of_item
      and w.is_active
      and (item_kinds is null or w.kind = any (item_kinds))
      and (path is null or w.attributes @@ path)
      and nearline_data._is_spoken(w.language, languages)
      and not nearline_data._is_met(w.attributes, w.kind, w.language, blocked)
    offset 0;  -- a fence: as many looks into an index as there are items, never a join with the whole table
end;
comment on function nearline_data._passing is 'An item where it is active and passes the filters; else no row.';

create or replace function nearline_data._candidates(
    to_interest vector, of_version integer, recent nearline_data.recent_event[], near_items text[], near_scores real[]
  , item_kinds text[], path jsonpath, languages text[], seen text[], blocked jsonpath
  , by_strategy nearline_data.strategy, for_user text, at_most integer
)
returns table (
    item_id text, kind text, title text, interest_part real, transition_part real, popular_part real, fresh_part real, score real
)
language sql stable parallel safe
begin atomic
    with successor as materialized (
        select t.next_item_id as item_id, sum(r.share * t.weight) as strength
        from (select e.item_id, e.decay * e.weight as share from unnest(recent[:25]) e where e.weight > 0 offset 0) r
        cross join lateral (
            select n.next_item_id, n.weight
            from nearline_data.item_transition n
            where n.model_version = of_version and n.item_id = r.item_id
            offset 0  -- a fence: 25 short index scans, never a join with the whole table
        ) t
        group by t.next_item_id
    ), strongest as materialized (
        select by_strategy.transition_weight * m.transition_weight / (select max(s.strength) from successor s) as weight
        from nearline_data.model_version m
        where m.model_version = of_version
    ), near as materialized (
        select n.item_id, n.similarity * by_strategy.interest_weight as interest_part
             , (s.strength * (select t.weight from strongest t))::real as transition_part
        from unnest(near_items, near_scores) as n (item_id, similarity)
        left join successor s on s.item_id = n.item_id
    ), bar as materialized (
        -- A successor that is not among the nearest is no nearer than the last of them. Where even so its score would be
        -- below those of as many of the nearest as are wanted, its vector is not read.
        select b.score - by_strategy.popular_weight - by_strategy.fresh_weight
               - (select min(n.score) from unnest(near_scores) as n (score)) * by_strategy.interest_weight as transition_part
        from (
            select n.item_id, n.interest_part + coalesce(n.transition_part, 0) as score
            from near n
            where n.interest_part is not null and at_most <= cardinality(near_scores) and by_strategy.exploration = 0
            order by score desc
            offset 0
        ) b
        where exists (select from nearline_data._passing(b.item_id, item_kinds, path, languages, blocked))
        offset at_most - 1 limit 1
    ), known as (
        select n.item_id, n.interest_part, n.transition_part
        from near n
        union all
        select o.item_id, null, o.transition_part
        from (
            select s.item_id, (s.strength * (select t.weight from strongest t))::real as transition_part
            from successor s
            where s.strength * (select t.weight from strongest t) >= coalesce((select b.transition_part from bar b), '-Infinity')
            offset 0  -- the cheap question first
        ) o
        where o.item_id not in (select n.item_id from near n)
          and case when coalesce(item_kinds, languages) is not null or coalesce(path, blocked) is not null then
                  exists (select from nearline_data._passing(o.item_id, item_kinds, path, languages, blocked))
              else true end
    ), signalled as materialized (
        select c.item_id
             , coalesce(c.interest_part, (
                   select (- (v.vector <#> to_interest))::real
                   from nearline_data.item_embedding v
                   where v.model_version = of_version and v.item_id = c.item_id
               ) * by_strategy.interest_weight) as interest_part
             , c.transition_part
             , case when by_strategy.popular_weight > 0 then (
                   select by_strategy.popular_weight * p.score / (select max(m.score) from nearline_data.item_popularity m)
                   from nearline_data.item_popularity p
                   where p.item_id = c.item_id
               ) end as popular_part
             , case when by_strategy.fresh_weight > 0 then (
                   select nearline_data._fresh_part(i.created_at, by_strategy.fresh_weight, by_strategy.fresh_days)
                   from nearline_data.item i
                   where i.item_id = c.item_id
               ) end as fresh_part
             , nearline_data._chance(c.item_id, for_user, by_strategy.exploration) as chance
        from known c
        where c.item_id not in (select x.item_id from unnest(seen) as x (item_id))
    ), ranked as materialized (
        select g.item_id, g.interest_part, g.transition_part, g.popular_part, g.fresh_part
             , coalesce(g.interest_part, 0) + coalesce(g.transition_part, 0) + coalesce(g.popular_part, 0)
               + coalesce(g.fresh_part, 0) + g.chance as score
        from signalled g
        order by score desc, g.item_id
    )
    select r.item_id, i.kind, i.title, r.interest_part, r.transition_part, r.popular_part, r.fresh_part, r.score::real
    from ranked r
    cross join lateral nearline_data._passing(r.item_id, item_kinds, path, languages, blocked) i
    limit at_most;
end;
comment on function nearline_data._candidates is 'The nearest items (and others without a score, whose vectors are read) and the likeliest successors of the newest 25 events, scored by nearline.core.blend and the strategy''s weights, best first.';

create or replace function nearline_data._popular(
    item_kinds text[], path jsonpath, languages text[], seen text[], blocked jsonpath
  , at_most integer
)
returns table (
    item_id text, kind text, title text, interest_part real, transition_part real, popular_part real, fresh_part real, score real
)
language sql stable parallel safe
begin atomic
    with popular as materialized (
        select p.item_id, i.kind, i.title, p.score / (select max(m.score) from nearline_data.item_popularity m) as share
        from nearline_data.item_popularity p
        join nearline_data.item i on i.item_id = p.item_id
        where i.is_active
          and (item_kinds is null or p.kind = any (item_kinds))
          and (path is null or i.attributes @@ path)
          and nearline_data._is_spoken(i.language, languages)
          and not nearline_data._is_met(i.attributes, i.kind, i.language, blocked)
          and p.item_id not in (select s.item_id from unnest(seen) as s (item_id))
        order by p.score desc, p.item_id
        limit at_most
    )
    select p.item_id, p.kind, p.title, null::real, null::real, p.share::real, null::real, p.share::real from popular p;
end;
comment on function nearline_data._popular is 'What is popular with others: for people of whom nothing is known where the model says nothing of newcomers.';
