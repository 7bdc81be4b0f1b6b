create or replace function nearline_data._wilson(successes bigint, trials bigint)
returns table (low double precision, high double precision)
language sql immutable strict parallel safe
begin atomic
    -- E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927): with k of n and
    -- z = 1.96, the centre is (k + z^2 / 2) / (n + z^2), to either side z / (n + z^2) * sqrt(k * (n - k) / n + z^2 / 4).
    select greatest(i.centre - i.reach, 0), least(i.centre + i.reach, 1)
    from (
        select (successes + z.z * z.z / 2) / (trials + z.z * z.z) as centre
             , z.z / (trials + z.z * z.z) * sqrt(successes * (trials - successes)::double precision / trials + z.z * z.z / 4) as reach
        from (select 1.959963984540054::double precision as z) z
    ) i
    where trials > 0;
end;
comment on function nearline_data._wilson is '95% interval of a share, after Wilson (1927): never below 0 or above 1, and honest where nothing was clicked.';

create or replace function nearline_data._checked_since(since timestamptz, until timestamptz)
returns timestamptz
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if since is null or since > until then
        raise exception 'since is %, expected a moment not after until, which is %'
            , coalesce(since::text, 'null'), coalesce(until::text, 'null')
            using errcode = '22023', hint = 'Such as since => now() - interval ''7 days''.';
    end if;
    return since;
end
$$;
comment on function nearline_data._checked_since is 'The beginning of a span of time; refuses one that is missing or after the end.';

create or replace function nearline.performance_between(since timestamptz, until timestamptz default now())
returns table (
    day date
  , model_version integer
  , strategy text
  , kind text
  , exposures bigint
  , people bigint
  , clicks bigint
  , ctr double precision
  , ctr_low double precision
  , ctr_high double precision
  , conversions bigint
  , cvr double precision
  , cvr_low double precision
  , cvr_high double precision
  , revenue double precision
  , items_shown bigint
  , coverage double precision
)
language sql stable security definer parallel safe
set enable_presorted_aggregate = off  -- else all exposures are sorted to count people: a third more time with a million
begin atomic
    with catalogue as materialized (
        select i.item_id, i.kind, i.is_active from nearline_data.item i
    ), active as materialized (
        select c.kind, count(*) as items from catalogue c where c.is_active group by c.kind
    ), shown as (
        select (a.shown_at at time zone 'UTC')::date as day, a.model_version, a.strategy, i.kind, i.is_active
             , a.user_id, a.item_id, a.clicked, a.converted, a.revenue
        from nearline_data._attributed(nearline_data._checked_since(since, until), least(until, now() + interval '1 day')) a
        left join catalogue i on i.item_id = a.item_id
    ), counted as (
        select s.day, s.model_version, s.strategy, s.kind
             , count(*) as exposures
             , count(distinct s.user_id) as people
             , count(*) filter (where s.clicked) as clicks
             , count(*) filter (where s.converted) as conversions
             , sum(s.revenue) as revenue
             , count(distinct s.item_id) as items_shown
             , count(distinct s.item_id) filter (where s.is_active) as active_items_shown
        from shown s
        group by s.day, s.model_version, s.strategy, s.kind
    )
    select c.day, c.model_version, c.strategy, c.kind, c.exposures, c.people
         , c.clicks, c.clicks / c.exposures::double precision, ctr.low, ctr.high
         , c.conversions, c.conversions / c.exposures::double precision, cvr.low, cvr.high
         , c.revenue
         , c.items_shown
         , c.active_items_shown / (select g.items from active g where g.kind = c.kind)::double precision
    from counted c
    cross join lateral nearline_data._wilson(c.clicks, c.exposures) ctr
    cross join lateral nearline_data._wilson(c.conversions, c.exposures) cvr
    order by c.day desc, c.model_version desc, c.strategy, c.kind;
end;
comment on function nearline.performance_between is
'What became of the lists that people were shown from since until before until: one row for each day (UTC), model version, strategy and kind of item. Counted from the ledger when it is read, so late events are in it.
Every click and conversion counts for one exposure at most: the last one of the item to that person before it, within nearline_data.attribution_window; and an exposure counts once as clicked and once as converted, however often. nearline_data.event_kind says what a click and a conversion is. The columns are those of the view nearline.performance.
  select * from nearline.performance_between(since => ''2026-11-01'', until => ''2026-11-08'');';

create or replace view nearline.performance as
select p.day, p.model_version, p.strategy, p.kind, p.exposures, p.people
     , p.clicks, p.ctr, p.ctr_low, p.ctr_high
     , p.conversions, p.cvr, p.cvr_low, p.cvr_high
     , p.revenue, p.items_shown, p.coverage
from nearline.performance_between(since => now() - interval '30 days') p;
comment on view nearline.performance is 'What became of the lists of the last 30 days; for another span of time call nearline.performance_between.';
comment on column nearline.performance.day is 'Day of the exposure, UTC; what followed later counts for it too.';
comment on column nearline.performance.model_version is 'The version that made the lists; null: none was live yet.';
comment on column nearline.performance.strategy is 'The strategy that made them.';
comment on column nearline.performance.kind is 'Kind of the items; null: not in the catalogue.';
comment on column nearline.performance.exposures is 'Items shown, once for each list.';
comment on column nearline.performance.people is 'Different people who saw them.';
comment on column nearline.performance.clicks is 'Exposures that were clicked.';
comment on column nearline.performance.ctr is 'Clicks by exposures. Where in the list an item stood is not allowed for.';
comment on column nearline.performance.ctr_low is 'Its 95% interval (Wilson), lower end. It takes exposures as independent; those of one person are not: compare strategies with nearline.experiment_result.';
comment on column nearline.performance.ctr_high is 'Upper end.';
comment on column nearline.performance.conversions is 'Exposures that were converted: bought, by default.';
comment on column nearline.performance.cvr is 'Conversions by exposures, not by clicks: one may buy without a click.';
comment on column nearline.performance.cvr_low is 'Its 95% interval, lower end.';
comment on column nearline.performance.cvr_high is 'Upper end.';
comment on column nearline.performance.revenue is 'Sum of the column value of the converting events, each once; in whatever unit they have.';
comment on column nearline.performance.items_shown is 'Different items among the exposures.';
comment on column nearline.performance.coverage is 'Share of the active items of the kind that were shown.';
