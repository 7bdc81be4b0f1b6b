create or replace function nearline.interests(of_user text, max_topics integer default 10)
returns table (
    topic text
  , weight double precision
  , share double precision
  , usual_share real
  , stated double precision
  , because jsonb
  , as_of timestamptz
  , model_version integer
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
    version constant integer := nearline_data._version(null);
    person constant nearline_data.person := nearline_data._person(of_user, version);
    reads constant text := nearline_data._language(person.recent);
    -- The catalogue's nearest twentieth, and no more items than say what a person is after.
    near constant integer := (
        select least(greatest(m.item_count / 20, 5), 100) from nearline_data.model_version m where m.model_version = version
    );
begin
    return query
    with nearest as materialized (
        select n.item_id from nearline_data._nearest(person.interest, version, null, null, near) n
        where person.interest is not null
    ), counted as (
        select t.attribute, t.value, count(*)::double precision / (select count(*) from nearest) as part
        from nearest n
        join nearline_data.item i on i.item_id = n.item_id
        cross join lateral nearline_data._topics_of(i.attributes, i.kind, i.language) t
        group by t.attribute, t.value
        having count(*) > 1
    ), done as materialized (
        select e.event_id, e.kind, e.decay, nearline_data._deed(e.kind, e.phrase, i.title, reads) as sentence, t.attribute, t.value
        from unnest(person.recent) e
        join nearline_data.item i on i.item_id = e.item_id
        cross join lateral nearline_data._topics_of(i.attributes, i.kind, i.language) t
        where e.weight > 0
    ), raised as (
        select c.attribute, c.value, c.part, o.share as usual, c.part * ln(c.part / o.share) as gain
        from counted c
        join nearline_data.topic o on o.attribute = c.attribute and o.value = c.value
        where c.part > 1.2 * o.share
          -- By more than chance gives so few items (two standard deviations), or by what they did.
          and (
              c.part > o.share + 2 * sqrt(o.share * (1 - o.share) / near)
              or exists (select from done d where d.attribute = c.attribute and d.value = c.value)
          )
    ), believed as materialized (
        select r.attribute, r.value, r.gain / sum(r.gain) over () as weight, r.part, r.usual
        from raised r
        order by r.gain desc, r.attribute, r.value
        limit greatest(least(coalesce(max_topics, 10), 1000), 0)
    ), said as materialized (
        select s.attribute, s.value, s.weight from nearline_data.stated_interest s where s.user_id = of_user
    )
    select coalesce(b.attribute, s.attribute) || ': ' || coalesce(b.value, s.value)
         , b.weight, b.part, b.usual, s.weight
         , coalesce(
               (
                   select jsonb_agg(jsonb_build_object('event_id', d.event_id, 'text', d.sentence) order by d.decay desc, d.event_id)
                   from (
                       select x.event_id, x.sentence, x.decay
                       from done x
                       where x.attribute = coalesce(b.attribute, s.attribute) and x.value = coalesce(b.value, s.value)
                       order by x.decay desc, x.event_id
                       limit 3
                   ) d
               )
             , '[]'
           )
         , person.as_of, version
    from believed b
    full join said s on s.attribute = b.attribute and s.value = b.value
    order by b.weight desc nulls last, s.weight desc nulls last, 1;
end
$$;
comment on function nearline.interests is
'What the system believes a person is after now, for the person to read: topics of the catalogue (texts of attributes, kinds, languages) that are more common among the items nearest to their interest than they usually are, and the events that speak for each. weight: parts of 1, by how much the topic stands out. share: part of the nearest items that have it; usual_share: part of the whole catalogue. because: the events that speak for it. as_of, model_version: when the interest was written, and by which version. stated: what they said of it themselves with nearline.set_interest; topics of which they did come besides max_topics, with no weight where it is not believed. max_topics: at most 1000. Who disagrees can say so with nearline.set_interest, take an event back with nearline.forget_event, or record a like, a dislike or a hide.
  select topic, round(weight::numeric, 2), because->0->>''text'' from nearline.interests(of_user => ''u42'');';
