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
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
    left_out constant text[] := nearline_data._left_out(exclude, item_kinds, seen_kinds);
    version constant integer := nearline_data._version(as_of_model);
    person nearline_data.person;
    request uuid;
    used nearline_data.strategy;
    one text;
begin
    if cardinality(for_users) > 10000 then
        raise exception 'for_users has % ids, expected at most 10000', cardinality(for_users)
            using errcode = '54000', hint = 'Ask in several calls; they may run side by side.';
    end if;
    for one in select distinct u.id from unnest(for_users) as u (id) where u.id is not null order by 1 loop
        person := nearline_data._person(one, version, seen_within, seen_kinds);
        person.seen := person.seen || left_out;
        used := nearline_data._strategy(strategy, one);
        request := gen_random_uuid();
        return query
        select one, l.list_position, l.item_id, l.kind, l.title, l.score, l.reason, version, person.as_of
             , person.events_folded, person.lag, request, used.name, l.shortfall
        from nearline_data._list(person, version, max_items, item_kinds, matching, diversity, with_reasons, used) l;
    end loop;
end
$$;
comment on function nearline.recommend_for_many is
'A list for each of many people, for mails and exports; all from one snapshot and one model version. for_users: at most 10000, each once. Reasons are left out unless with_reasons is true. Each list has a request_id of its own; the other arguments and columns are those of nearline.recommend.
  select * from nearline.recommend_for_many(for_users => array[''u42'', ''u43''], max_items => 5);';
