select nearline_data._ensure_trigger(
    'TRIGGER wish_announces_itself AFTER INSERT ON nearline_data.explanation_wanted FOR EACH STATEMENT EXECUTE FUNCTION nearline_data._announce_events()'
  , 'Wakes the nearline job, which computes what an explanation needs.'
);

create or replace function nearline_data._explained(
    for_user text, for_item text, version integer, by_strategy nearline_data.strategy, seen_within interval, seen_kinds text[]
  , may_ask boolean
)
returns table (
    event_id text, kind text, item_id text, text text, how text, share real, interest_part real, transition_part real
  , score real, score_without real, rank integer, rank_without integer
)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- Stable: all of it sees one moment, in which stored interests and what was measured for them belong together.
declare
    person constant nearline_data.person := nearline_data._person(for_user, version, seen_within, seen_kinds);
    reads constant text := nearline_data._language(person.recent);
    seen constant text[] := array_remove(person.seen, for_item);
    is_small constant boolean := coalesce(
        (select m.item_count <= 20000 from nearline_data.model_version m where m.model_version = version), true
    );
    stored constant public.vector := (
        select u.vector from nearline_data.user_interest u where u.user_id = for_user and u.model_version = version
    );
    is_measured constant boolean := exists (
        select from nearline_data.interest_without w
        where w.user_id = for_user and w.model_version = version and w.interest_at = person.as_of
    );
begin
    return query
    with present as materialized (
        select s.*
        from nearline_data._standing(for_item, person.interest, version, person.recent, seen, by_strategy, for_user, is_small) s
    ), event as materialized (
        select e.event_id, e.kind, e.item_id, e.place, e.is_unseen
             , nearline_data._deed(e.kind, e.phrase, coalesce(i.title, '“' || e.words || '”', e.item_id), reads) as sentence
             , nearline_data._without(person.recent, e.event_id) as others
        from (
            select distinct on (r.event_id) r.event_id, r.kind, r.item_id, r.phrase, r.words, r.place
                 , bool_and(r.is_unseen) over (partition by r.event_id) as is_unseen
            from unnest(person.recent) with ordinality as r (
                event_id, item_id, kind, words, phrase, weight, decay, is_unseen, recorded_at, vector, place
            )
            order by r.event_id, r.place
        ) e
        left join nearline_data.item i on i.item_id = e.item_id
    ), only_once as materialized (
        -- Without the event these would not have been seen.
        select d.item_id, min(d.event_id) as event_id
        from nearline_data.event d
        where d.user_id = for_user
          and d.item_id is not null
          and nearline_data._counts_as_seen(
              d.kind, d.occurred_at, seen_within, seen_kinds, (select nearline_data._hiding_kinds())
          )
        group by d.item_id
        having min(d.event_id) = max(d.event_id)
    ), other as materialized (
        select e.event_id, e.kind, e.item_id, e.place, e.sentence, e.others
             , case when e.is_unseen then 'exact'
                    when w.event_id is not null then 'measured'
                    when is_measured or not may_ask then 'unmeasured'
                    else 'waiting'
               end as how
             , case when e.is_unseen then nearline_data._fold(stored, e.others, version)
                    when w.event_id is not null then nearline_data._fold(w.vector, e.others, version)
                    else person.interest
               end as interest
             , array(
                   select s.item_id from unnest(seen) as s (item_id)
                   except
                   select o.item_id from only_once o where o.event_id = e.event_id
               ) as seen
        from event e
        left join nearline_data.interest_without w
            on w.user_id = for_user and w.model_version = version and w.event_id = e.event_id and w.interest_at = person.as_of
    ), known as (
        select o.event_id, o.kind, o.item_id, o.place, o.sentence, o.how
             , coalesce(p.score, 0) - coalesce(w.score, 0) as share
             , coalesce(p.interest_part, 0) - coalesce(w.interest_part, 0) as interest_part
             , coalesce(p.transition_part, 0) - coalesce(w.transition_part, 0) as transition_part
             , p.score, w.score as score_without, p.place as rank, w.place as rank_without
             , o.how in ('exact', 'measured') as is_known
        from other o
        cross join present p
        cross join lateral nearline_data._standing(
            for_item, o.interest, version, o.others, o.seen, by_strategy, for_user, is_small
        ) w
    ), answer as (
        select null as event_id, null as kind, for_item as item_id, i.title as sentence, 'now' as how, null::real as share
             , p.interest_part, p.transition_part, p.score, null::real as score_without, p.place as rank
             , null::integer as rank_without, 0::bigint as place
        from present p
        join nearline_data.item i on i.item_id = for_item
        union all
        select k.event_id, k.kind, k.item_id, k.sentence, k.how
             , case when k.is_known then k.share end, case when k.is_known then k.interest_part end, k.transition_part, k.score
             , case when k.is_known then k.score_without end, k.rank, case when k.is_known then k.rank_without end, k.place
        from known k
    )
    select a.event_id, a.kind, a.item_id, a.sentence, a.how, a.share, a.interest_part, a.transition_part, a.score
         , a.score_without, a.rank, a.rank_without
    from answer a
    order by a.place > 0, abs(coalesce(a.share, a.transition_part)) desc, a.place;
end
$$;
comment on function nearline_data._explained is 'Why an item stands where it does for a person, and what each of their newest events does to that; may_ask: what is not measured yet can be asked for.';

create or replace function nearline.explain(
    for_user text
  , for_item text
  , seen_within interval default null
  , seen_kinds text[] default null
  , strategy text default null
  , as_of_model integer default null
)
returns table (
    event_id text
  , kind text
  , item_id text
  , text text
  , how text
  , share real
  , interest_part real
  , transition_part real
  , score real
  , score_without real
  , rank integer
  , rank_without integer
  , model_version integer
  , strategy_used text
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
    version constant integer := nearline_data._version(as_of_model);
    used constant nearline_data.strategy := nearline_data._strategy(strategy, for_user);
    -- The nearline job follows the live version; a standby can keep no wish.
    may_ask constant boolean := not current_setting('transaction_read_only')::boolean
        and version = (select l.model_version from nearline_data.live_version l);
    is_waiting boolean := false;
begin
    if not exists (select from nearline_data.item i where i.item_id = for_item and i.is_active) then
        raise exception 'for_item is %, expected an active item of the catalogue', coalesce(quote_literal(left(for_item, 100)), 'null')
            using errcode = '22023', hint = 'Items that are not active are in no list.';
    end if;
    perform nearline_data._left_out(null, null, seen_kinds);
    for event_id, kind, item_id, text, how, share, interest_part, transition_part, score, score_without, rank, rank_without
    in select * from nearline_data._explained(for_user, for_item, version, used, seen_within, seen_kinds, coalesce(may_ask, false))
    loop
        is_waiting := is_waiting or how = 'waiting';
        model_version := version;
        strategy_used := used.name;
        return next;
    end loop;
    if is_waiting then
        insert into nearline_data.explanation_wanted (user_id) values (for_user) on conflict do nothing;
    end if;
end
$$;
comment on function nearline.explain is
'Why an item stands where it does for a person, and what would change that, also for an item they have seen: first the item as it stands now (event_id null), then their newest 30 events, those that matter most first. Without an event means as after nearline.forget_event. It takes some tenths of a second, as it makes the list once for each event.
for_user, seen_within, seen_kinds, strategy, as_of_model: as in nearline.recommend.
score: that of nearline.recommend, before rules and stated interests, which events do not change; score_without: without the event; share: the difference, below 0 where the event speaks against the item. interest_part, transition_part: what of it comes from the interest and from what often follows; in the first row, of the score itself. rank, rank_without: place among all active items that the person has not seen; in catalogues of more than 20,000 items among the nearest 1000, null below those. Of a strategy with exploration the chances of all of these count, and a list draws among what is near alone: an item that stands before one of the list may be in none.
how: "exact" where the event was folded in at this query; "measured" where the model was asked for the interest without it; "waiting" where that is being done, a second from now, as this very call asked for it, and only the transition part is known yet; "unmeasured" where it cannot be: on a standby, for a version that is not live, or where the model fails. text: what was done as a sentence, in the first row the title.
  select text, share, rank, rank_without, how from nearline.explain(for_user => ''u42'', for_item => ''page-7'');';
