create or replace function nearline_data._list_of(
    for_user text
  , of_version integer
  , max_items integer
  , item_kinds text[]
  , matching jsonb
  , left_out text[]
  , seen_within interval
  , seen_kinds text[]
  , diversity double precision
  , strategy text
  , with_reasons boolean
)
returns table (
    user_id text
  , list_position integer
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
language plpgsql stable parallel safe
cost 1000000  -- as dear as it is, or Postgres would not start processes for it
set search_path = pg_catalog, pg_temp
as $$
declare
    person nearline_data.person := nearline_data._person(for_user, of_version, seen_within, seen_kinds);
    used constant nearline_data.strategy := nearline_data._strategy(strategy, for_user);
    request constant uuid := gen_random_uuid();
begin
    person.seen := person.seen || left_out;
    return query
    select for_user, l.list_position, l.item_id, l.kind, l.title, l.score, l.reason, of_version, person.as_of
         , person.events_folded, person.lag, request, used.name, l.shortfall
    from nearline_data._list(person, of_version, max_items, item_kinds, matching, diversity, with_reasons, used) l;
end
$$;
comment on function nearline_data._list_of is 'A list for one of many people, as rows of nearline.recommend_for_many.';

create or replace function nearline.recommend_for_many(
    for_users text[]
  , max_items integer default 10
  , item_kinds text[] default null
  , matching jsonb default null
  , exclude text[] default null
  , seen_within interval default null
  , seen_kinds text[] default null
  , diversity double precision default null
  , strategy text default null
  , with_reasons boolean default false
  , as_of_model integer default null
)
returns table (
    user_id text
  , list_position integer
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
set plan_cache_mode = force_generic_plan
set jit = off
as $$
declare
    left_out constant text[] := nearline_data._left_out(exclude, item_kinds, seen_kinds);
    version constant integer := nearline_data._version(as_of_model);
    people text[];
    known text[];
begin
    perform nearline_data._check_list('for_users', for_users, 10000, 'Ask in several calls; they may run side by side.');
    people := array(select distinct u.id from unnest(for_users) as u (id) where u.id is not null);
    perform '[0]'::public.vector;  -- loads pgvector: processes take over its settings only from a session that has it
    if cardinality(people) >= 100 then
        known := array(
            select v.user_id from nearline_data.user_interest v where v.model_version = version and v.user_id = any (people)
        );
    end if;
    if cardinality(known) >= 100 then  -- for fewer, to start processes takes longer than they save
        people := array(select u.id from unnest(people) as u (id) except select s.id from unnest(known) as s (id));
        return query
        select (m.list).*
        from (
            -- Only the rows of a table can be divided among processes, and only the cost of what is selected, not of
            -- what is joined, tells Postgres to.
            select nearline_data._list_of(
                       v.user_id, version, max_items, item_kinds, matching, left_out, seen_within, seen_kinds, diversity
                     , strategy, with_reasons
                   ) as list
            from nearline_data.user_interest v
            where v.model_version = version and v.user_id = any (known)
            offset 0  -- a fence: one call a person, not one a column
        ) m
        order by 1, 2;
    end if;
    return query
    select l.*
    from unnest(people) as u (id)
    cross join lateral nearline_data._list_of(
        u.id, version, max_items, item_kinds, matching, left_out, seen_within, seen_kinds, diversity, strategy, with_reasons
    ) l
    order by 1, 2;
end
$$;
comment on function nearline.recommend_for_many is
'A list for each of many people, for mails and exports; all from one snapshot and one model version. for_users: at most 10000, each once; a list comes in one piece, the people in no certain order. 100 or more who have an interest vector are divided among this process and as many more as max_parallel_workers_per_gather allows. Reasons are left out unless with_reasons is true. Each list has a request_id of its own; the other arguments and columns are those of nearline.recommend.
  select * from nearline.recommend_for_many(for_users => array[''u42'', ''u43''], max_items => 5);';
