create or replace function nearline_data._confidence_sequence(
    difference double precision
  , its_variance double precision
  , expected_difference double precision
  , comparisons bigint
)
returns table (low double precision, high double precision, p_value double precision)
language sql immutable strict parallel safe
begin atomic
    -- The mixture sequential probability ratio test: R. Johari, P. Koomen, L. Pekelis, D. Walsh, Always valid inference,
    -- Operations Research 70 (2022). With d = difference, V = its_variance, T = expected_difference ^ 2:
    --     likelihood ratio = sqrt(V / (V + T)) * exp(d^2 * T / (2 * V * (V + T))),  p = 1 / likelihood ratio
    --     d +- sqrt(V * (V + T) / T * (ln((V + T) / V) + 2 * ln(1 / 0.05)))
    -- It is the asymptotic confidence sequence of I. Waudby-Smith et al., Time-uniform central limit theory, Annals of
    -- Statistics 52 (2024), with V for variance / t and T / V for t * rho^2: right at all moments at once, as V shrinks.
    -- The clock is V and not the number of people, as those who come back add to what is known too.
    -- Among several comparisons each has its part of 0.05 (Bonferroni).
    select difference - i.reach
         , difference + i.reach
         , least(1, comparisons * sqrt(1 + i.ratio) * exp(greatest(-700, - difference * difference / i.variance * i.ratio / (1 + i.ratio) / 2)))
    from (
        select r.variance, r.ratio, sqrt(r.variance * (1 + 1 / r.ratio) * (ln(1 + r.ratio) - 2 * ln(0.05::double precision / comparisons))) as reach
        from (
            select v.variance, nullif(expected_difference * expected_difference / v.variance, 0) as ratio
            from (select nullif(greatest(its_variance, 0), 0) as variance) v
        ) r
    ) i
    where i.ratio is not null;
end;
comment on function nearline_data._confidence_sequence is '95% interval of a difference and the p-value of none, which hold for all comparisons together and however often one looks while the variance shrinks. No row where there is no variance.';

create or replace function nearline.experiment_result(of_experiment text)
returns table (
    strategy text
  , is_control boolean
  , share numeric
  , people bigint
  , exposures bigint
  , exposures_of_other_strategies bigint
  , clicks bigint
  , ctr double precision
  , ctr_difference double precision
  , ctr_difference_low double precision
  , ctr_difference_high double precision
  , ctr_p_value double precision
  , conversions bigint
  , cvr double precision
  , cvr_difference double precision
  , cvr_difference_low double precision
  , cvr_difference_high double precision
  , cvr_p_value double precision
  , revenue double precision
)
language sql stable security definer parallel safe
begin atomic
    with experiment as materialized (
        select x.starts_at, coalesce(x.ends_at, 'infinity') as ends_at, x.salt, x.expected_lift
        from nearline_data.experiment x
        where x.name = of_experiment
    ), arm as materialized (
        select a.strategy, a.share, a.is_control, a.lots_from, a.lots_until
             , greatest(count(*) over () - 1, 1) as comparisons
        from nearline_data._arms(of_experiment) a
    ), seen as materialized (
        select s.user_id, s.strategy
             , count(*) as exposures
             , count(*) filter (where s.clicked) as clicks
             , count(*) filter (where s.converted) as conversions
             , sum(s.revenue) as revenue
        from experiment x
        cross join lateral nearline_data._attributed(x.starts_at, x.ends_at) s
        group by s.user_id, s.strategy
    ), person as materialized (
        -- In the arm that they drew, whatever they were shown: else those who were shown it would choose themselves.
        select a.strategy, l.user_id
             , sum(s.exposures)::double precision as exposures
             , sum(s.exposures) filter (where s.strategy <> a.strategy)::double precision as exposures_of_other_strategies
             , sum(s.clicks)::double precision as clicks
             , sum(s.conversions)::double precision as conversions
             , sum(s.revenue) as revenue
        from (
            select u.user_id, nearline_data._lot(u.user_id, x.salt) as lot
            from experiment x
            cross join (select distinct s.user_id from seen s) u
        ) l
        join arm a on l.lot >= a.lots_from and l.lot < a.lots_until
        join seen s on s.user_id = l.user_id
        group by a.strategy, l.user_id
    ), rate as materialized (
        -- People were drawn, not exposures: the variance of a rate is that of a ratio of sums over people, by linearisation.
        select t.strategy, t.outcome, t.people, t.exposures, t.successes
             , t.successes / t.exposures as rate
             -- And of two successes more, as where there were none or few the sums say next to nothing of how many there may be.
             , t.people / nullif(t.people - 1, 0)::double precision
               * (t.squares - 2 * t.successes / t.exposures * t.products + power(t.successes / t.exposures, 2) * t.exposure_squares)
               / power(t.exposures, 2) + 2 / power(t.exposures, 2) as variance
        from (
            select p.strategy, o.outcome, count(*) as people
                 , sum(p.exposures) as exposures
                 , sum(o.successes) as successes
                 , sum(o.successes * o.successes) as squares
                 , sum(o.successes * p.exposures) as products
                 , sum(p.exposures * p.exposures) as exposure_squares
            from person p
            cross join lateral (values ('click', p.clicks), ('conversion', p.conversions)) as o (outcome, successes)
            group by p.strategy, o.outcome
        ) t
    ), compared as materialized (
        select r.strategy, r.outcome, r.rate - c.rate as difference, i.low, i.high, i.p_value
        from experiment x
        cross join arm a
        join arm b on b.is_control and not a.is_control
        join rate r on r.strategy = a.strategy
        join rate c on c.strategy = b.strategy and c.outcome = r.outcome
        left join lateral nearline_data._confidence_sequence(
            r.rate - c.rate, r.variance + c.variance
            -- A part of what both have: of the control's alone there would be nothing where nobody clicked in it.
          , x.expected_lift * (r.successes + c.successes) / (r.exposures + c.exposures), a.comparisons
        ) i
            -- Before that, sums over people are not normal enough.
            on least(r.people, c.people) >= 100
           and least(r.exposures, c.exposures) * (r.successes + c.successes) / (r.exposures + c.exposures) >= 25
    )
    select a.strategy, a.is_control, a.share
         , coalesce(t.people, 0), coalesce(t.exposures, 0), coalesce(t.exposures_of_other_strategies, 0)
         , coalesce(t.clicks, 0), t.clicks / t.exposures::double precision
         , k.difference, k.low, k.high, k.p_value
         , coalesce(t.conversions, 0), t.conversions / t.exposures::double precision
         , v.difference, v.low, v.high, v.p_value
         , coalesce(t.revenue, 0)
    from arm a
    left join lateral (
        select count(*) as people, sum(p.exposures)::bigint as exposures
             , sum(p.exposures_of_other_strategies)::bigint as exposures_of_other_strategies
             , sum(p.clicks)::bigint as clicks, sum(p.conversions)::bigint as conversions, sum(p.revenue) as revenue
        from person p
        where p.strategy = a.strategy
    ) t on true
    left join compared k on k.strategy = a.strategy and k.outcome = 'click'
    left join compared v on v.strategy = a.strategy and v.outcome = 'conversion'
    order by a.is_control desc, a.strategy;
end;
comment on function nearline.experiment_result is
'How the strategies of an experiment do, each compared with the control: one row an arm, none for an unknown name. May be read at any time and acted on at any time: looking often makes no false alarms.
people: who was shown something and drew this arm. ctr, cvr: clicks and conversions by exposures, counted as in nearline.performance. ctr_difference: to the control''s; low and high: its interval, p_value: of no difference. Over all moments and arms together, 5 in 100 experiments without a difference ever have an interval of ctr without zero or a p_value below 0.05; and so for cvr: decide before which of the two counts. Null until both arms have 100 people and 25 clicks (conversions) are to be expected in each.
exposures_of_other_strategies: lists that the arm''s people got by another strategy than theirs; many of them hide a difference.
It takes people as independent and drawn by nearline.strategy_of, which needs the ids of people to last; sessions that come and go are people of their own. That the same people come back is allowed for. Exposures are kept for 180 days: read it before.
  select * from nearline.experiment_result(of_experiment => ''fresher'');';
