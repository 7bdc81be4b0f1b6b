create or replace function nearline_data._analyze_ledger()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
-- Right after a load the planner still believes that the tables are empty; autovacuum comes a minute later at best.
begin
    analyze nearline_data.item;
    analyze nearline_data.event;
end
$$;
comment on function nearline_data._analyze_ledger is 'Brings the planner''s statistics of item and event up to date after a load.';
