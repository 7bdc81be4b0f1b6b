create or replace function nearline_data._interest_spans(of_user text, half_life interval)
returns table (
    attribute text
  , value text
  , lasting double precision
  , lately double precision
  , usual_share real
  , events bigint
)
language sql stable parallel safe
begin atomic
    with event as materialized (
        select e.item_id, k.weight::double precision as weight
             , row_number() over (order by e.occurred_at desc, e.event_id desc) as place
             , date_part('epoch', max(e.occurred_at) over () - e.occurred_at) as age
        from nearline_data.event e
        join nearline_data.event_kind k on k.kind = e.kind
        where e.user_id = of_user
          and exists (select from nearline_data.item i where i.item_id = e.item_id)
    ), faded as materialized (
        -- exp(-700) is about the least that a double precision holds.
        select e.item_id
             , e.weight * exp(greatest(-700, - ln(2) * e.age / date_part('epoch', half_life))) as lasting
             , case when e.place <= 30 then sign(e.weight) * exp(greatest(-700, (1 - e.place) / m.span)) else 0 end as lately
        from event e
        cross join (
            -- As nearline_data._fold has it; before there is a model, as the transitions are faded.
            select coalesce(
                (
                    select v.fold_span
                    from nearline_data.model_version v
                    join nearline_data.live_version l on l.model_version = v.model_version
                )
              , 4
            )::double precision as span
        ) m
    ), touched as (
        -- Each item's topics are looked up once.
        select f.item_id, sum(f.lasting) as lasting, sum(f.lately) as lately, count(*) as events
        from faded f
        group by f.item_id
    ), everything as (
        select nullif(sum(abs(f.lasting)), 0) as lasting, nullif(sum(abs(f.lately)), 0) as lately from faded f
    ), part as (
        select t.attribute, t.value
             , sum(d.lasting) / min(a.lasting) as lasting
             , sum(d.lately) / min(a.lately) as lately
             , sum(d.events)::bigint as events
        from touched d
        cross join everything a
        join nearline_data.item i on i.item_id = d.item_id
        cross join lateral nearline_data._topics_of(i.attributes, i.kind, i.language) t
        group by t.attribute, t.value
    )
    select p.attribute, p.value, p.lasting, p.lately, o.share, p.events
    from part p
    join nearline_data.topic o on o.attribute = p.attribute and o.value = p.value;
end;
comment on function nearline_data._interest_spans is 'For each topic of the items that somebody touched: its part of all that they did, halved every half_life, and of their newest 30 events, faded as nearline_data._fold does it. What they disliked, hid or returned counts against it.';

create or replace function nearline.lasting_interests(
    of_user text
  , half_life interval default '90 days'
  , max_topics integer default 10
)
returns table (
    topic text
  , lasting double precision
  , lately double precision
  , usual_share real
  , events bigint
)
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
begin
    if half_life is null or half_life <= '0'::interval then
        raise exception 'half_life is %, expected an interval above 0', coalesce(quote_literal(half_life), 'null')
            using errcode = '22023', hint = '''90 days'' is usual; with ''infinity'' what was long ago counts as much as what is new.';
    end if;
    return query
    select s.attribute || ': ' || s.value, s.lasting, s.lately, s.usual_share, s.events
    from nearline_data._interest_spans(of_user, half_life) s
    -- By how much it stands out, as in nearline.interests; and what they turn away from, last.
    cross join lateral (
        select case when s.lasting < 0 then s.lasting when s.lasting > s.usual_share then s.lasting * ln(s.lasting / s.usual_share) else 0 end
    ) g (gain)
    where greatest(s.lasting, s.lately) > 1.2 * s.usual_share or least(s.lasting, s.lately) < 0
    order by g.gain desc, s.lately desc, s.attribute, s.value
    limit greatest(least(coalesce(max_topics, 10), 1000), 0);
end
$$;
comment on function nearline.lasting_interests is
'What a person always likes beside what they are after now, for the person to read: topics of the catalogue, counted in what they did.
half_life: after so long an event counts half as much, then a quarter. max_topics: at most 1000.
lasting: the topic''s part of all that they ever did, by the weights of the kinds of event and that half-life. lately: its part of their newest 30 events, faded as they are when they are folded into the interest vector. usual_share: part of the whole catalogue that has it; topics that are above it by a fifth, in one of the two, are shown. Below zero: they disliked, hid or returned more of it than they took. events: how many of their events were on it.
Lists follow the interest vector, which nearline.interests puts into words; this counts, and changes no list.
  select topic, round(lasting::numeric, 2), round(lately::numeric, 2) from nearline.lasting_interests(of_user => ''u42'');';

create or replace view nearline_data.interest_span as
select u.user_id, s.attribute, s.value, s.lasting, s.lately, s.usual_share, s.events
from nearline_data.user_interest u
join nearline_data.live_version l on l.model_version = u.model_version
cross join lateral nearline_data._interest_spans(u.user_id, '90 days') s;
comment on view nearline_data.interest_span is 'Of everybody with an interest vector: what nearline.lasting_interests counts with its usual half-life. It reads the events of whom it is asked for, so name them; for the engine, not for applications.';
comment on column nearline_data.interest_span.user_id is 'The person.';
comment on column nearline_data.interest_span.attribute is 'Name of the attribute, or kind, or language.';
comment on column nearline_data.interest_span.value is 'Its text, or one of its texts.';
comment on column nearline_data.interest_span.lasting is 'Its part of all that they did, halved every 90 days; below zero: they turn away from it.';
comment on column nearline_data.interest_span.lately is 'Its part of their newest 30 events, faded as nearline_data._fold does it.';
comment on column nearline_data.interest_span.usual_share is 'Part of all active items that have it.';
comment on column nearline_data.interest_span.events is 'How many of their events were on such items.';
