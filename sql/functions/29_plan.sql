create or replace function nearline.plan(
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
    step integer, stage text, detail text, items_in integer, items_out integer, ms double precision
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
    started timestamptz := clock_timestamp();
    stages nearline_data.stage[];
    left_out constant text[] := nearline_data._left_out(exclude, item_kinds, seen_kinds);
    version constant integer := nearline_data._version(as_of_model);
    person nearline_data.person := nearline_data._person(for_user, version, seen_within, seen_kinds);
    used nearline_data.strategy;
    listing nearline_data.listing;
begin
    person.seen := person.seen || left_out;
    stages := nearline_data._staged(
        stages, started, 'person'
      , format(
            'newest events read: %s, folded into the interest %s: %s; items left out: %s'
          , coalesce(cardinality(person.recent), 0)
          , case when person.as_of is not null then format('of %s', person.as_of)
                 when person.interest is not null then 'of newcomers'
                 else 'that is not known'
            end
          , person.events_folded
          , coalesce(cardinality(person.seen), 0)
        )
      , null, null
    );
    started := clock_timestamp();
    used := nearline_data._strategy(strategy, for_user);
    stages := nearline_data._staged(
        stages, started, 'strategy'
      , format('%s, model version %s', quote_literal(used.name), coalesce(version::text, 'none'))
      , null, null
    );
    listing := nearline_data._listing(
        person, version, max_items, item_kinds, matching, diversity, with_reasons, used, with_stages => true
    );
    return query
    select s.place::integer, s.stage, s.detail, s.items_in, s.items_out, s.ms
    from unnest(stages || listing.stages) with ordinality as s (stage, detail, items_in, items_out, ms, place);
end
$$;
comment on function nearline.plan is
'How a list came about: one row for each step, with the items before and after it and how long it took. The arguments are those of nearline.recommend, and the list is made by the same code. items_in and items_out: null for a step that is not about items. detail: how it was searched and why so, which rules held. The last row is "shortfall" where the list is shorter than max_items, also where it is empty: why, with max_items as items_in. ms: times of this call; the first of a connection plans, and takes longer.
  select * from nearline.plan(for_user => ''u42'', matching => ''{"brand": "Tern"}'');';
