create or replace function nearline_data._session(events jsonb, of_version integer)
returns nearline_data.person
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    wrong jsonb;
    newest nearline_data.recent_event[];
    person nearline_data.person;
begin
    if jsonb_typeof(events) is distinct from 'array' or jsonb_array_length(events) > 1000 then
        raise exception 'events is %, expected a JSON array of at most 1000 events'
            , case jsonb_typeof(events) when 'array' then format('an array of %s', jsonb_array_length(events)) else coalesce(jsonb_typeof(events), 'null') end
            using errcode = '22023', hint = 'Oldest first, such as [{"kind": "view", "item_id": "page-7"}, {"kind": "search", "text": "rain jacket"}].';
    end if;
    if jsonb_path_exists(events, 'strict $.**{21}') or length(events::text) > 1000000 then
        raise exception 'events is nested deeper than 20 levels or has more than 1000000 characters'
            using errcode = '54000', hint = 'Of each event kind, item_id and text are read: send no more, and of a text the beginning.';
    end if;
    select e.value into wrong
    from jsonb_array_elements(events) e
    where jsonb_typeof(e.value) <> 'object'
       or jsonb_typeof(e.value -> 'kind') is distinct from 'string'
       or not exists (select from nearline_data.event_kind k where k.kind = e.value ->> 'kind')
       or jsonb_typeof(e.value -> 'item_id') not in ('string', 'null')
       or jsonb_typeof(e.value -> 'text') not in ('string', 'null')
       or coalesce(e.value ->> 'item_id', e.value ->> 'text') is null
    limit 1;
    if found then
        raise exception 'events has %, expected an object with a known kind, and item_id or text, as JSON strings', left(wrong::text, 200)
            using errcode = '22023', hint = 'Known kinds: ' || (select string_agg(k.kind, ', ' order by k.kind) from nearline_data.event_kind k) || '.';
    end if;
    select array_agg(
               row(
                   n.place::text, n.item_id, n.kind, n.words, k.phrase, k.weight, n.decay, true, now()
                 , case when n.item_id is not null then (
                       select v.vector from nearline_data.item_embedding v
                       where v.model_version = of_version and v.item_id = n.item_id
                   ) else (
                       select q.vector from nearline_data.query_embedding q
                       where q.model_version = of_version and q.query = n.words
                   ) end
               )::nearline_data.recent_event
               order by n.place desc
           )
    into newest
    from (
        select e.value ->> 'item_id' as item_id, e.value ->> 'kind' as kind, left(e.value ->> 'text', 500) as words, e.place
             , exp((1 - row_number() over (partition by e.value ->> 'item_id' is null order by e.place desc)) / 4.0) as decay
        from jsonb_array_elements(events) with ordinality as e (value, place)
        order by e.place desc
        limit 30
    ) n
    join nearline_data.event_kind k on k.kind = n.kind;
    person.interest := nearline_data._fold(null, newest, of_version);
    person.recent := newest;
    person.seen := array(
        select distinct e.value ->> 'item_id' from jsonb_array_elements(events) e where e.value ->> 'item_id' is not null
    );
    person.events_folded := (select count(*) from unnest(newest) n where n.vector is not null);
    return person;
end
$$;
comment on function nearline_data._session is 'What a list for a session is made from: as _person, of events that come with the call.';

create or replace function nearline.recommend_for_session(
    events jsonb
  , max_items integer default 10
  , item_kinds text[] default null
  , matching jsonb default null
  , exclude text[] default null
  , diversity double precision default null
  , strategy text default null
  , with_reasons boolean default true
  , as_of_model integer default null
  , of_session text default null
)
returns table (
    list_position integer
  , item_id text
  , kind text
  , title text
  , score real
  , reason jsonb
  , model_version integer
  , events_folded integer
  , request_id uuid
  , strategy_used text
  , shortfall text
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
    left_out constant text[] := nearline_data._left_out(exclude, item_kinds, null);
    version constant integer := nearline_data._version(as_of_model);
    person nearline_data.person := nearline_data._session(events, version);
    used constant nearline_data.strategy := nearline_data._strategy(strategy, of_session);
    request constant uuid := gen_random_uuid();
begin
    person.user_id := of_session;
    person.seen := person.seen || left_out;
    return query
    select l.list_position, l.item_id, l.kind, l.title, l.score, l.reason, version, person.events_folded, request, used.name, l.shortfall
    from nearline_data._list(person, version, max_items, item_kinds, matching, diversity, with_reasons, used) l;
end
$$;
comment on function nearline.recommend_for_session is
'A list for somebody who is not known, from what they did in this session; nothing is recorded. events: a JSON array, oldest first, of objects with kind and item_id, or kind and text for a search; the newest 30 count. A search counts where its words were read before, for anybody: nothing here calls a model. of_session: the id of the session, the same for as long as it lasts and the to_user of nearline.record_exposure: it draws the arm of the running experiment and the chances of exploration, and audiences and stated interests of that id hold; null: the strategy "default", and one draw for all. events_folded: how many events the list is made from. The other arguments and columns are those of nearline.recommend.
  select * from nearline.recommend_for_session(events => ''[{"kind": "view", "item_id": "page-7"}]'', of_session => ''s81'');';
