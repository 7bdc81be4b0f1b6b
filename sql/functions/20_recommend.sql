create or replace function nearline.recommend(
    for_user text
  , max_items integer default 10
  , item_kinds text[] default null
  , exclude text[] default null
)
returns table (
    list_position integer
  , item_id text
  , kind text
  , title text
  , score real
  , reason jsonb
  , model_version integer
  , as_of timestamptz
  , events_folded integer
  , lag interval
)
language sql stable security definer parallel safe
begin atomic
    with live as materialized (
        select m.model_version, m.transition_weight, m.fallback_scale, m.newcomer_interest
             , m.fold_keep, m.fold_gain, m.fold_span
        from nearline_data.live_version l
        join nearline_data.model_version m on m.model_version = l.model_version
    ), stored as materialized (
        select u.vector, u.updated_at, u.position
        from nearline_data.user_interest u
        where u.user_id = for_user
          and u.model_version = (select l.model_version from live l)
    ), newest as materialized (
        -- From the ledger itself: a click counts at the very next query.
        select e.event_id, e.item_id, e.kind, left(e.text, 500) as text, e.occurred_at, e.recorded_at
             , coalesce(not pg_visible_in_snapshot(e.transaction_id, (select s.position from stored s)), true) as is_unseen
        from nearline_data.event e
        where e.user_id = for_user
        order by e.occurred_at desc, e.event_id desc
        limit 30
    ), placed as materialized (
        select n.event_id, n.item_id, n.kind, n.text, n.recorded_at, n.is_unseen, k.weight, k.phrase
             , row_number() over (order by n.occurred_at desc, n.event_id desc) as place
             -- Decay follows nearline.core.transitions: exp(-position / 4) among events of the same sort.
             , exp((1 - row_number() over (
                   partition by n.item_id is null order by n.occurred_at desc, n.event_id desc
               )) / 4.0) as decay
             , case when n.item_id is not null then (
                   select v.vector from nearline_data.item_embedding v
                   where v.model_version = (select l.model_version from live l) and v.item_id = n.item_id
               ) else (
                   select q.vector from nearline_data.query_embedding q
                   where q.model_version = (select l.model_version from live l) and q.query = n.text
               ) end as vector
        from newest n
        join nearline_data.event_kind k on k.kind = n.kind
    ), recent as materialized (
        select p.event_id, p.item_id, p.kind, p.text, p.weight, p.phrase, p.decay, p.vector
        from placed p
        where p.place <= 25
    ), folded as materialized (
        -- What the stored vector has not seen, by nearline.core.fold: sum of exp(-place / span) * sign * unit vector, over
        -- the first 120 numbers, which are what an item means.
        select count(*)::integer as events
             , min(m.recorded_at) as oldest_at
             , sum(l2_normalize(subvector(m.vector, 1, 120)) * array_fill(m.share, array[120])::vector(120)) as direction
        from (
            select u.vector, u.recorded_at
                 , (sign(u.weight) * exp((1 - row_number() over (order by u.place)) / l.fold_span))::real as share
            from placed u
            cross join live l
            where u.is_unseen and u.vector is not null
        ) m
    ), interest as materialized (
        -- Somebody without a vector begins as a newcomer, and what they touched counts in full.
        select case when f.events = 0 then coalesce(s.vector, l.newcomer_interest)
               else
                   coalesce(
                       s.vector * array_fill(power(l.fold_keep, f.events)::real, array[128])::vector(128)
                     , l.newcomer_interest
                     , array_fill(0::real, array[128])::vector(128)
                   )
                   + (f.direction || array_fill(0::real, array[8])::vector(8))
                     * array_fill(
                           (l.fallback_scale * case when s.vector is null then 1 else l.fold_gain end)::real, array[128]
                       )::vector(128)
               end as vector
        from live l
        cross join folded f
        left join stored s on true
    ), seen as materialized (
        select e.item_id from nearline_data.event e where e.user_id = for_user and e.item_id is not null
        union
        select x.item_id from unnest(exclude) as x (item_id) where x.item_id is not null
    ), nearest as materialized (
        select e.item_id
        from nearline_data.item_embedding e
        where e.model_version = (select l.model_version from live l)
          and (select i.vector from interest i) is not null
          and (item_kinds is null or e.kind = any (item_kinds))
          and e.item_id not in (select s.item_id from seen s)
        order by e.vector <#> (select i.vector from interest i)
        limit greatest(least(coalesce(max_items, 10), 1000), 0) + 100
    ), successor as materialized (
        select t.next_item_id as item_id, sum(r.decay * greatest(r.weight, 0) * t.weight) as strength
        from recent r
        cross join lateral (
            select n.next_item_id, n.weight
            from nearline_data.item_transition n
            where n.model_version = (select l.model_version from live l) and n.item_id = r.item_id
            offset 0  -- a fence: 25 short index scans, never a join with the whole table
        ) t
        group by t.next_item_id
        order by strength desc, t.next_item_id
        limit greatest(least(coalesce(max_items, 10), 1000), 0) + 100
    ), strongest as (
        select max(s.strength) as strength from successor s
    ), popular as materialized (
        -- Candidates for people without history only.
        select p.item_id, p.score / nullif(max(p.score) over (), 0) as share
        from nearline_data.item_popularity p
        where not exists (select from nearest)
          and (item_kinds is null or p.kind = any (item_kinds))
          and p.item_id not in (select s.item_id from seen s)
        order by p.score desc, p.item_id
        limit greatest(least(coalesce(max_items, 10), 1000), 0) + 100
    ), candidate as (
        select n.item_id from nearest n
        union
        select s.item_id from successor s
        union
        select p.item_id from popular p
    ), candidate_vector as materialized (
        select c.item_id
             , (select v.vector from nearline_data.item_embedding v
                where v.model_version = (select l.model_version from live l) and v.item_id = c.item_id) as vector
        from candidate c
    ), scored as (
        select c.item_id, i.kind, i.title, c.vector
             , - (c.vector <#> (select n.vector from interest n)) as interest_part
             , (select l.transition_weight from live l) * s.strength / (select t.strength from strongest t where t.strength > 0) as transition_part
             , p.share as popular_part
        from candidate_vector c
        join nearline_data.item i on i.item_id = c.item_id and i.is_active
        left join successor s on s.item_id = c.item_id
        left join popular p on p.item_id = c.item_id
        where c.item_id not in (select s2.item_id from seen s2)
          and (item_kinds is null or i.kind = any (item_kinds))
    ), ranked as (
        select s.item_id, s.kind, s.title, s.vector, s.interest_part, s.transition_part, s.popular_part
             , (case when s.interest_part is null and s.transition_part is null then s.popular_part
                     else coalesce(s.interest_part, 0) + coalesce(s.transition_part, 0) end)::real as score
        from scored s
        order by (s.interest_part is null and s.transition_part is null), score desc, s.item_id
        limit greatest(least(coalesce(max_items, 10), 1000), 0)
    )
    select row_number() over (order by (r.interest_part is null and r.transition_part is null), r.score desc, r.item_id)::integer
         , r.item_id
         , r.kind
         , r.title
         , r.score
         , coalesce(because.reason, jsonb_build_object(
               'text', case when exists (select from recent) then 'fits your interests' else 'popular with others now' end
             , 'because', '[]'::jsonb
           ))
         , (select l.model_version from live l)
         , (select s.updated_at from stored s)
         , (select f.events from folded f)
         , (select coalesce(now() - f.oldest_at, '0') from folded f)
    from ranked r
    left join lateral (
        -- The events that speak most for the item: it often follows them, or means something similar. An item that
        -- no single event speaks for fits the person's interests as a whole.
        select jsonb_build_object(
                   'text', 'because you ' || (array_agg(b.sentence order by b.share desc, b.event_id))[1]
                 , 'because', jsonb_agg(jsonb_build_object(
                       'event_id', b.event_id, 'kind', b.kind, 'item_id', b.item_id, 'text', b.text
                     , 'share', round(b.share::numeric, 3)
                   ) order by b.share desc, b.event_id)
               ) as reason
        from (
            select e.event_id, e.kind, e.item_id, e.text
                 , e.phrase || ' ' || coalesce(i.title, '“' || e.text || '”') as sentence
                 , e.strength / sum(e.strength) over () as share
            from (
                select c.event_id, c.kind, c.item_id, c.text, c.phrase
                     , c.decay * c.weight * (coalesce(c.follows, 0) + 0.1 * c.likeness) as strength
                from (
                    select r2.event_id, r2.kind, r2.item_id, r2.text, r2.phrase, r2.decay, r2.weight
                         , coalesce(1 - (subvector(r2.vector, 1, 120) <=> subvector(r.vector, 1, 120)), 0) as likeness
                         , (select t.weight from nearline_data.item_transition t
                            where t.model_version = (select l.model_version from live l)
                              and t.item_id = r2.item_id and t.next_item_id = r.item_id) as follows
                    from recent r2
                    where r2.weight > 0
                ) c
                where c.likeness > 0 and (c.follows is not null or c.likeness > 0.3)
                order by strength desc, c.event_id
                limit 3
            ) e
            left join nearline_data.item i on i.item_id = e.item_id
        ) b
        having count(*) > 0
    ) because on true
    order by 1;
end;
comment on function nearline.recommend is
'What a person may want next, best first: items they have not touched, with a score and the reason.
for_user: the id used in events; nobody by that name gets what newcomers take. max_items: at most 1000. item_kinds: null for all kinds mixed; for one list per kind call it once per kind. exclude: items to leave out.
reason: "text" reads as a sentence, "because" names the events that speak most for the item with their shares. as_of: when the interest vector was written; null if there is none yet. events_folded: how many newer events were folded into it for this answer, of the newest 30; a search counts once its words were read, a second later. lag: how long the oldest of them has waited for the vector.
  select * from nearline.recommend(for_user => ''u42'', max_items => 10);
  select * from nearline.recommend(for_user => ''u42'', item_kinds => array[''page'']);';
