create or replace function nearline_data._keep_default()
returns trigger
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if old.name = 'default' and new.name is distinct from old.name then
        raise exception 'strategy ''default'' is to be %, expected it to stay', case tg_op when 'UPDATE' then 'renamed' else 'deleted' end
            using errcode = '55000', hint = 'Who is in no experiment gets it. Update its weights, or insert another strategy and name it in the call.';
    end if;
    return coalesce(new, old);
end
$$;
comment on function nearline_data._keep_default is 'Refuses to delete or rename the strategy of everybody: no list would have an order.';

select nearline_data._ensure_trigger(
    'TRIGGER strategy_default_stays BEFORE DELETE OR UPDATE OF name ON nearline_data.strategy FOR EACH ROW EXECUTE FUNCTION nearline_data._keep_default()'
  , 'Lists of everybody who is in no experiment are made by it.'
);
