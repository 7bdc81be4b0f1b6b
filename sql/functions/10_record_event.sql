create or replace function nearline.record_event(
    of_user text
  , event_kind text
  , on_item text default null
  , with_text text default null
  , with_value double precision default null
  , happened_at timestamptz default null
  , with_attributes jsonb default null
  , with_id text default null
)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    id text := coalesce(with_id, gen_random_uuid()::text);
    at timestamptz := coalesce(happened_at, clock_timestamp());
begin
    if coalesce(of_user, '') = '' then
        raise exception 'of_user is %, expected the id of a person or session', coalesce(quote_literal(of_user), 'null')
            using errcode = '22023', hint = 'For people who are not logged in use the id of their session.';
    end if;
    if not exists (select from nearline_data.event_kind k where k.kind = event_kind) then
        raise exception 'event_kind is %, expected one of: %', coalesce(quote_literal(left(event_kind, 100)), 'null')
          , (select string_agg(k.kind, ', ' order by k.kind) from nearline_data.event_kind k)
            using errcode = '22023', hint = 'To add a kind, insert it into nearline_data.event_kind with its weight.';
    end if;
    if on_item is null and coalesce(with_text, '') = '' then
        raise exception 'a % needs on_item, with_text or both', event_kind
            using errcode = '22023', hint = 'A search has its query in with_text; everything else names its item in on_item.';
    end if;
    if '' in (on_item, with_id) then
        raise exception '% is '''', expected an id or null', case when on_item = '' then 'on_item' else 'with_id' end
            using errcode = '22023', hint = 'Leave out what there is no id of.';
    end if;
    if length(with_text) > 10000 then
        raise exception 'with_text has % characters, expected at most 10000', length(with_text)
            using errcode = '22023', hint = 'Send the beginning: the language model reads no more than that.';
    end if;
    if greatest(length(of_user), length(on_item), length(with_id)) > 500 then
        raise exception '% has % characters, expected at most 500'
          , case greatest(length(of_user), length(on_item), length(with_id))
                when length(of_user) then 'of_user' when length(on_item) then 'on_item' else 'with_id'
            end
          , greatest(length(of_user), length(on_item), length(with_id))
            using errcode = '22023', hint = 'Send the id that your application knows it by; texts go into with_text.';
    end if;
    if greatest(octet_length(of_user), octet_length(on_item), octet_length(with_id)) > 1000 then
        raise exception '% has % bytes, expected at most 1000'
          , case greatest(octet_length(of_user), octet_length(on_item), octet_length(with_id))
                when octet_length(of_user) then 'of_user' when octet_length(on_item) then 'on_item' else 'with_id'
            end
          , greatest(octet_length(of_user), octet_length(on_item), octet_length(with_id))
            using errcode = '22023', hint = 'Ids are index keys, whose bytes count: a Chinese character is three.';
    end if;
    if with_attributes is not null then
        perform nearline_data._check_json('with_attributes', with_attributes);
    end if;
    if at > clock_timestamp() + interval '5 minutes' then
        raise exception 'happened_at is %, which is in the future', at
            using errcode = '22023', hint = 'Check the clock of the sender, or leave happened_at out: the time is then now.';
    end if;
    if at < '1970-01-01Z' then
        raise exception 'happened_at is %, which is before 1970', at
            using errcode = '22023', hint = 'Send the time with its year and zone, such as 2026-11-21T10:00:00Z.';
    end if;
    if abs(with_value) > 1e15 then  -- NaN is above every number
        raise exception 'with_value is %, expected a number from -1e15 to 1e15', with_value
            using errcode = '22023', hint = 'Leave with_value out where there is no number; send larger amounts in a larger unit.';
    end if;
    if on_item is not null and not exists (select from nearline_data.item i where i.item_id = on_item) then
        raise warning 'item % is not in the catalogue yet; the event is kept and waits for it', quote_literal(on_item);
    end if;
    if with_id is not null and happened_at is null then
        -- A retry has another time, and the key of an event is its id with its time: one after another looks for the id.
        perform pg_advisory_xact_lock(hashtextextended('nearline event ' || with_id, 0));
        -- By the id alone, whose index finds it at once; by that of people all events of this one would be read.
        if of_user = any (array(select e.user_id from nearline_data.event e where e.event_id = with_id)) then
            return with_id;
        end if;
    end if;
    begin
        insert into nearline_data.event (event_id, user_id, item_id, kind, text, value, attributes, occurred_at)
        values (id, of_user, on_item, event_kind, nullif(with_text, ''), with_value, with_attributes, at)
        on conflict do nothing;
    exception when check_violation then  -- no partition for that time yet
        perform nearline_data._ensure_event_partitions(at, at);
        insert into nearline_data.event (event_id, user_id, item_id, kind, text, value, attributes, occurred_at)
        values (id, of_user, on_item, event_kind, nullif(with_text, ''), with_value, with_attributes, at)
        on conflict do nothing;
    end;
    if not found and exists (select from nearline_data.event e where e.event_id = id and e.occurred_at = at and e.user_id <> of_user) then
        raise exception 'with_id % of % is an event of another person than %', quote_literal(id), at, quote_literal(of_user)
            using errcode = '22023', hint = 'Give each event an id of its own, such as gen_random_uuid(). Nothing was recorded.';
    end if;
    return id;
end
$$;
comment on function nearline.record_event is
'Records what a person did; returns the event''s id. of_user: who, or the id of a session. event_kind: a row of nearline_data.event_kind. on_item: with which item; null only with with_text. with_text: what was typed or written. with_value: a rating, an amount or a quantity; that of a conversion is its revenue. happened_at: null for now. with_attributes: anything else, kept as it is.
A retry with with_id is safe: the same id and happened_at again change nothing, and without happened_at neither does an id that the person has, whatever its time. Thousands of events in one transaction: send happened_at too, as each id without it takes a lock. At most: 500 characters an id, 10000 of with_text, 100000 of with_attributes in 20 levels.
  select nearline.record_event(of_user => ''u42'', event_kind => ''view'', on_item => ''page-7'');
  select nearline.record_event(of_user => ''u42'', event_kind => ''search'', with_text => ''light rain jacket'');';
