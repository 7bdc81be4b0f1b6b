create or replace function nearline_data._kinds()
returns text[]
language sql stable parallel safe
begin atomic
    -- A jump along item_kind_idx for each kind: there are a handful among millions of items.
    with recursive one as (
        (select i.kind from nearline_data.item i order by i.kind limit 1)
        union all
        select (select i.kind from nearline_data.item i where i.kind > o.kind order by i.kind limit 1)
        from one o
        where o.kind is not null
    )
    select array_agg(o.kind order by o.kind) from one o where o.kind is not null;
end;
comment on function nearline_data._kinds is 'All kinds of items in the catalogue.';

create or replace function nearline.recommend_per_kind(
    for_user text
  , max_items integer default 3
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
    kind text
  , list_position integer
  , item_id text
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
    select k.kind, l.list_position, l.item_id, l.title, l.score, l.reason, version, person.as_of, person.events_folded
         , person.lag, request, used.name, l.shortfall
    from (
        select n.kind, min(n.place) as place
        from unnest(coalesce(item_kinds, nearline_data._kinds())) with ordinality as n (kind, place)
        group by n.kind
    ) k
    cross join lateral nearline_data._list(person, version, max_items, array[k.kind], matching, diversity, with_reasons, used) l
    order by k.place, l.list_position;
end
$$;
comment on function nearline.recommend_per_kind is
'One list for each kind of item: max_items of each. item_kinds: which and in what order; null for all. What a person did is read once. The other arguments and columns are those of nearline.recommend; one request_id names all the lists. A kind of which there is nothing to offer has no row: nearline.plan with that kind says why.
  select kind, list_position, title from nearline.recommend_per_kind(for_user => ''u42'', max_items => 3);
  select * from nearline.recommend_per_kind(for_user => ''u42'', item_kinds => array[''product'', ''page'']);';
