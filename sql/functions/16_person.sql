create or replace function nearline_data._fold(stored vector, newest nearline_data.recent_event[], of_version integer)
returns vector
language sql stable parallel safe
begin atomic
    -- nearline.core.fold: sum of exp(-place / span) * sign * unit vector, over the first 120 numbers, which are what an
    -- item means. Somebody without a vector begins as a newcomer, and what they touched counts in full.
    with model as materialized (
        select m.fallback_scale, m.newcomer_interest, m.fold_keep, m.fold_gain, m.fold_span
        from nearline_data.model_version m
        where m.model_version = of_version
    ), folded as materialized (
        select count(*) as events
             , sum(l2_normalize(subvector(u.vector, 1, 120)) * array_fill(u.share, array[120])::vector(120)) as direction
        from (
            select e.vector, (sign(e.weight) * exp((1 - row_number() over (order by e.place)) / m.fold_span))::real as share
            from unnest(newest) with ordinality as e (
                event_id, item_id, kind, words, phrase, weight, decay, is_unseen, recorded_at, vector, place
            )
            cross join model m
            where e.is_unseen and e.vector is not null
        ) u
    )
    select case when f.events = 0 then coalesce(stored, m.newcomer_interest)
           else
               coalesce(
                   stored * array_fill(power(m.fold_keep, f.events)::real, array[128])::vector(128)
                 , m.newcomer_interest
                 , array_fill(0::real, array[128])::vector(128)
               )
               + (f.direction || array_fill(0::real, array[8])::vector(8))
                 * array_fill(
                       (m.fallback_scale * case when stored is null then 1 else m.fold_gain end)::real, array[128]
                   )::vector(128)
           end
    from model m
    cross join folded f;
end;
comment on function nearline_data._fold is 'An interest with the events folded in that it does not know; nearline.core.fold says how.';

create or replace function nearline_data._counts_as_seen(
    of_kind text, occurred_at timestamptz, seen_within interval, seen_kinds text[], hiding_kinds text[]
)
returns boolean
language sql stable parallel safe
begin atomic
    select (
               (seen_within is null or (seen_within > '0' and occurred_at > now() - least(seen_within, '1000 years')))
               and (seen_kinds is null or of_kind = any (seen_kinds))
           )
           -- What they hid does not come back, whatever else is offered again.
           or of_kind = any (hiding_kinds);
end;
comment on function nearline_data._counts_as_seen is 'Whether an event keeps its item out of a list. hiding_kinds: of nearline_data._hiding_kinds, read once a list and not once an event.';

create or replace function nearline_data._hiding_kinds()
returns text[]
language sql stable parallel safe
begin atomic
    select array(select k.kind from nearline_data.event_kind k where k.weight < 0);
end;
comment on function nearline_data._hiding_kinds is 'The kinds of events that say: not this.';

create or replace function nearline_data._person(
    for_user text, of_version integer, seen_within interval default null, seen_kinds text[] default null
)
returns nearline_data.person
language sql stable parallel safe
begin atomic
    with stored as materialized (
        select u.vector, u.updated_at, u.position
        from nearline_data.user_interest u
        where u.user_id = for_user and u.model_version = of_version
    ), event as materialized (
        -- From the ledger itself: a click counts at the very next query.
        select e.event_id, e.item_id, e.kind, e.text, e.occurred_at, e.recorded_at, e.transaction_id
             , row_number() over (order by e.occurred_at desc, e.event_id desc) as place
        from nearline_data.event e
        where e.user_id = for_user
    ), newest as materialized (
        select array_agg(
                   row(
                       n.event_id, n.item_id, n.kind, n.words, k.phrase, k.weight, n.decay, n.is_unseen, n.recorded_at
                     , case when not n.is_unseen then null  -- the stored interest knows it
                       when n.item_id is not null then (
                           select v.vector from nearline_data.item_embedding v
                           where v.model_version = of_version and v.item_id = n.item_id
                       ) else (
                           select q.vector from nearline_data.query_embedding q
                           where q.model_version = of_version and q.query = n.words
                       ) end
                   )::nearline_data.recent_event
                   order by n.place
               ) as events
        from (
            select e.event_id, e.item_id, e.kind, left(e.text, 500) as words, e.recorded_at, e.place
                 -- Decay follows nearline.core.transitions: exp(-position / 4) among events of the same sort.
                 , exp((1 - row_number() over (partition by e.item_id is null order by e.place)) / 4.0) as decay
                 , coalesce(not pg_visible_in_snapshot(e.transaction_id, (select s.position from stored s)), true) as is_unseen
            from event e
            where e.place <= 30
        ) n
        join nearline_data.event_kind k on k.kind = n.kind
    )
    select row(
               for_user
             , nearline_data._fold((select s.vector from stored s), n.events, of_version)
             , (select s.updated_at from stored s)
             , f.events
             , greatest(now() - f.oldest_at, '0')
             , n.events
             , (
                   select array_agg(e.item_id)
                   from event e
                   where e.item_id is not null
                     and nearline_data._counts_as_seen(
                         e.kind, e.occurred_at, seen_within, seen_kinds, (select nearline_data._hiding_kinds())
                     )
               )
           )::nearline_data.person
    from newest n
    cross join lateral (
        select count(*)::integer as events, min(u.recorded_at) as oldest_at
        from unnest(n.events) u
        where u.is_unseen and u.vector is not null
    ) f;
end;
comment on function nearline_data._person is 'What a list for somebody is made from: one read of all that they did.';
