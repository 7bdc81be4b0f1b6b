create or replace function nearline_data._keep_arms()
returns trigger
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    changed text;
    begun timestamptz;
    is_new boolean;
    total numeric;
begin
    -- Of a new row there is no old one, and of a deleted one no new: null, and no experiment is named so.
    foreach changed in array array[old.experiment, new.experiment] loop
        select x.starts_at, x.xmin = pg_current_xact_id()::xid into begun, is_new
        from nearline_data.experiment x
        where x.name = changed
        for no key update;
        if begun < now() and is_new then
            raise exception 'experiment % is to begin at %, which is in the past', quote_literal(changed), begun
                using errcode = '55000', hint = 'Who was shown something since then drew no arm. Leave starts_at out: the experiment begins now.';
        end if;
        if begun < now() then  -- not where experiment and arms are made in one transaction
            raise exception 'experiment % has begun at %; its arms are fixed', quote_literal(changed), begun
                using errcode = '55000', hint = 'People would change sides. Set its ends_at to now() and make another experiment, with its arms in the same transaction.';
        end if;
    end loop;
    select sum(a.share) into total from nearline_data.experiment_arm a where a.experiment = new.experiment;
    if total > 1 then
        raise exception 'the shares of experiment % add up to %, expected at most 1', quote_literal(new.experiment), total
            using errcode = '22023', hint = 'A share is a part of all people: 0.5 is half of them.';
    end if;
    if not exists (select from nearline_data.strategy s where s.name = coalesce(new.strategy, 'default')) then
        raise warning 'arm % of experiment % has no row of nearline_data.strategy: its lists are those of "default"'
            , quote_literal(new.strategy), quote_literal(new.experiment)
            using hint = 'Insert the strategy, unless your application makes something of its own of this arm.';
    end if;
    return null;
end
$$;
comment on function nearline_data._keep_arms is 'Refuses arms that add up to more than everybody, and changes of an experiment that has begun.';

select nearline_data._ensure_trigger(
    'TRIGGER experiment_arm_is_fixed AFTER INSERT OR DELETE OR UPDATE ON nearline_data.experiment_arm FOR EACH ROW EXECUTE FUNCTION nearline_data._keep_arms()'
  , 'Arms of an experiment that runs stay as they are.'
);

create or replace function nearline_data._keep_control()
returns trigger
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    changed text;
begin
    foreach changed in array array[old.experiment, new.experiment] loop
        if (select not bool_or(a.is_control) from nearline_data.experiment_arm a where a.experiment = changed) then
            raise exception 'experiment % has no arm that is the control', quote_literal(changed)
                using errcode = '23514', hint = 'Say is_control of one arm: the others are compared with it.';
        end if;
    end loop;
    return null;
end
$$;
comment on function nearline_data._keep_control is 'Refuses, at the end of a transaction, an experiment whose arms have nothing to be compared with.';

select nearline_data._ensure_trigger(
    'CONSTRAINT TRIGGER experiment_arm_has_a_control AFTER INSERT OR DELETE OR UPDATE ON nearline_data.experiment_arm DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION nearline_data._keep_control()'
  , 'At the end of a transaction, as arms come one by one.'
);
