create or replace function nearline.forget_event(of_user text, which_event text)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    was_there boolean;
begin
    delete from nearline_data.event e where e.user_id = of_user and e.event_id = which_event;
    was_there := found;
    if was_there then
        -- The vectors know it: until the nearline job has made new ones, a moment later, lists come from what is left.
        -- By way of the versions: before Postgres 18 an index on both is of no use to an id alone.
        delete from nearline_data.user_interest u
        using nearline_data.model_version m
        where u.model_version = m.model_version and u.user_id = of_user;
        insert into nearline_data.erased_user (user_id) values (of_user) on conflict do nothing;
    end if;
    return was_there;
end
$$;
comment on function nearline.forget_event is
'Takes back one event of a person, such as something they did not mean; it counts no more at the next query. False: they have no such event. nearline.recent_events and the reasons of a list name events.
  select nearline.forget_event(of_user => ''u42'', which_event => ''e-1001'');';

select nearline_data._ensure_trigger(
    'TRIGGER erasure_announces_itself AFTER INSERT ON nearline_data.erased_user FOR EACH STATEMENT EXECUTE FUNCTION nearline_data._announce_events()'
  , 'Wakes the nearline job, which takes the person''s vectors away.'
);
