create or replace function nearline_data._lot(of_user text, salt text)
returns double precision
language sql immutable strict parallel safe
-- Not hashtextextended: its values may change with the version of Postgres, and people would change sides.
return ('x' || encode(substr(sha256(convert_to(salt || ':' || of_user, 'UTF8')), 1, 4), 'hex'))::bit(32)::bigint / 4294967296.0::double precision;
comment on function nearline_data._lot is 'The lot that a person draws, from 0 to below 1: the first 32 bits of SHA-256 of salt, a colon and the user in UTF-8, so that any language can draw the same.';

create or replace function nearline_data._arms(of_experiment text)
returns table (strategy text, share numeric, is_control boolean, lots_from numeric, lots_until numeric)
language sql stable parallel safe
begin atomic
    select a.strategy, a.share, a.is_control
         , sum(a.share) over (order by a.strategy collate "C") - a.share
         , sum(a.share) over (order by a.strategy collate "C")
    from nearline_data.experiment_arm a
    where a.experiment = of_experiment;
end;
comment on function nearline_data._arms is 'The arms of an experiment with the lots that fall to each, side by side in the order of their names.';

create or replace function nearline.strategy_of(for_user text, at_time timestamptz default null)
returns text
language sql stable security definer parallel safe
begin atomic
    select coalesce((
        select a.strategy
        from nearline_data.experiment x
        cross join lateral nearline_data._arms(x.name) a
        where tstzrange(x.starts_at, x.ends_at) @> coalesce(at_time, now())
          and nearline_data._lot(for_user, x.salt) >= a.lots_from
          and nearline_data._lot(for_user, x.salt) < a.lots_until
    ), 'default');
end;
comment on function nearline.strategy_of is
'The strategy that a person gets: that of their arm while an experiment runs, else "default". The same person gets the same for as long as the experiment lasts. at_time: null for now.
  select nearline.strategy_of(for_user => ''u42'');';
