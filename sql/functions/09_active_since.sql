create or replace function nearline_data._active_since()
returns trigger
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    new.active_since := now();
    return new;
end
$$;
comment on function nearline_data._active_since is 'Notes when an item is offered again: a version that was loaded without it gives it a vector then.';

select nearline_data._ensure_trigger(
    'TRIGGER item_notes_when_it_is_back BEFORE UPDATE ON nearline_data.item FOR EACH ROW WHEN ((new.is_active AND (NOT old.is_active))) EXECUTE FUNCTION nearline_data._active_since()'
  , 'However it is switched on: by a load, or by hand.'
);
