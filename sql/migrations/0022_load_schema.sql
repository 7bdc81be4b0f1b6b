-- Tables of loads that run. The engine made them in nearline_data; but who may make objects there may also make a function that
-- one of the owner's would call in place of its own.
create schema nearline_load authorization nearline_owner;
comment on schema nearline_load is 'Tables of loads that run, made and dropped by nearline_engine; empty between them. No function looks here.';

set local role nearline_owner;
revoke create on schema nearline_data from nearline_engine;

-- What killed loads left.
do $$
declare
    staging regclass;
begin
    for staging in
        select c.oid from pg_catalog.pg_class c
        where c.relnamespace = 'nearline_data'::regnamespace and c.relkind = 'r' and c.relname like 'staging\_%'
    loop
        execute format('drop table %s', staging);
    end loop;
end
$$;

-- A weight beyond this makes every score that it takes part in too large for a number.
alter table nearline_data.strategy add constraint strategy_weights_are_finite check (
    greatest(
        abs(interest_weight), abs(transition_weight), abs(popular_weight), abs(fresh_weight), abs(exploration)
    ) <= 1e6
) not valid;
comment on constraint strategy_weights_are_finite on nearline_data.strategy is 'A million standard deviations: far beyond any use, far below what a number holds.';

-- By COPY too. Not asked of the events that are there: it would read them all while everybody waits.
alter table nearline_data.event
    add constraint event_attributes_are_short check (length(attributes::text) <= 1000000) not valid;
comment on constraint event_attributes_are_short on nearline_data.event is
'Whoever reads a person''s history reads them too. nearline.record_event and loads of files take a tenth of it.';
