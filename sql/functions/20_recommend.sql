create or replace function nearline_data._version(as_of_model integer)
returns integer
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if as_of_model is null then
        return (select l.model_version from nearline_data.live_version l);
    end if;
    if not exists (select from nearline_data.cursor c where c.model_version = as_of_model) then
        raise exception 'model version % is not in this database', as_of_model
            using errcode = '22023', hint = 'select * from nearline.versions; leave as_of_model out for the live one.';
    end if;
    return as_of_model;
end
$$;
comment on function nearline_data._version is 'The version to answer with: the one asked for, or the live one; null before the first is published.';

create or replace function nearline_data._strategy(named text, for_user text)
returns nearline_data.strategy
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    arm constant text := coalesce(named, nearline.strategy_of(for_user));
    found_one nearline_data.strategy;
begin
    select s.* into found_one from nearline_data.strategy s where s.name = arm;
    if found_one.name is null and named is not null then
        raise exception 'strategy is %, expected one of: %', quote_literal(left(named, 100))
          , (select string_agg(s.name, ', ' order by s.name) from nearline_data.strategy s)
            using errcode = '22023', hint = 'To add one, insert it into nearline_data.strategy.';
    end if;
    if found_one.name is null then  -- an arm that the application makes of its own
        select s.* into found_one from nearline_data.strategy s where s.name = 'default';
        found_one.name := arm;
    end if;
    return found_one;
end
$$;
comment on function nearline_data._strategy is 'The strategy that a call names, else that of the person''s arm.';

create or replace function nearline.recommend(
    for_user text
  , max_items integer default 10
  , item_kinds text[] default null
  , matching jsonb default null
  , exclude text[] default null
  , seen_within interval default null
  , seen_kinds text[] default null
  , diversity double precision default null
  , strategy text default null
  , with_reasons boolean default true
  , as_of_model integer default null
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
  , request_id uuid
  , strategy_used text
  , shortfall text
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
-- Planned once a connection: planning it anew takes as long as the answer.
set plan_cache_mode = force_generic_plan
as $$
declare
    left_out constant text[] := nearline_data._left_out(exclude, item_kinds, seen_kinds);
    version constant integer := nearline_data._version(as_of_model);
    person nearline_data.person := nearline_data._person(for_user, version, seen_within, seen_kinds);
    used constant nearline_data.strategy := nearline_data._strategy(strategy, for_user);
    request constant uuid := gen_random_uuid();
begin
    person.seen := person.seen || left_out;
    return query
    select l.list_position, l.item_id, l.kind, l.title, l.score, l.reason, version, person.as_of, person.events_folded
         , person.lag, request, used.name, l.shortfall
    from nearline_data._list(person, version, max_items, item_kinds, matching, diversity, with_reasons, used) l;
end
$$;
comment on function nearline.recommend is
'What a person may want next, best first: items they have not touched, with a score and the reason.
for_user: the id used in events; nobody by that name gets what newcomers take. max_items: at most 1000. item_kinds: null for all kinds mixed. matching: what attributes must be, {"brand": ["Tern", "Oakhurst"], "price": {"below": 50}, "tags": "gravel", "language": "en"}; a list means any of these, bounds are below, above, from and to, an attribute that is a list matches where it holds the value. exclude: items to leave out, at most 10000; of item_kinds and seen_kinds at most 100.
seen_within, seen_kinds: what counts as seen; a shop leaves out what was bought within a year with seen_within => ''1 year'', seen_kinds => array[''purchase'']; seen_within => ''0'' leaves out nothing. Without them, all that was ever touched. What was disliked, returned or hidden (kinds of events with a weight below 0) is left out whatever they say. diversity: 0 takes the best, up to 1 avoids items that are alike; null as the strategy says. strategy: a row of nearline_data.strategy; null for that of the person''s arm of the running experiment, else "default". with_reasons: false saves a millisecond. as_of_model: a version of nearline.versions instead of the live one.
reason: "text" reads as a sentence, in the language that most items they touched of late are in where nearline_data.reason_language has it, "because" names the three events that speak most for the item, with their shares among these. "rules" names the rows of nearline_data.rule that moved it, and what the person said of a topic ("stated theme: baking"), and is there only if any did. as_of: when the interest vector was written; null if there is none yet. events_folded: how many newer events were folded into it for this answer, of the newest 30; a search counts once its words were read, a second later. lag: how long the oldest of them has waited for the vector. request_id, strategy_used: name this list and what made it, for record_exposure. shortfall: why there are fewer rows than max_items (items that have no vector yet, were seen or are left out by the call do not count); null if there are as many. An empty list has no row that could say so: ask nearline.plan.
  select * from nearline.recommend(for_user => ''u42'', max_items => 10);
  select * from nearline.recommend(for_user => ''u42'', item_kinds => array[''page''], matching => ''{"level": "beginner"}'');';
