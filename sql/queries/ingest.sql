-- Blocks of ingest_items and ingest_events. {staging} is the table of one load.

-- lock --
-- Ends with the connection: a load that is killed locks nobody out.
select pg_try_advisory_lock(hashtextextended(%(name)s, 0));

-- loaded_digests --
select f.digest
from nearline_data.ingest_file f
where f.subject = %(subject)s
  and f.digest = any(%(digests)s)
  -- Events never change; a catalogue may go back to what it was before another file.
  and (f.subject = 'event' or f.loaded_at = (select max(l.loaded_at) from nearline_data.ingest_file l where l.subject = f.subject));

-- event_kinds --
select k.kind from nearline_data.event_kind k;

-- create_item_staging --
create unlogged table {staging} (
    source text not null
  , reason text
  , content text
  , item_id text
  , kind text
  , title text
  , description text
  , language text
  , attributes text
  , image_uri text
  , is_active boolean
);

-- create_event_staging --
create unlogged table {staging} (
    source text not null
  , reason text
  , content text
  , event_id text
  , user_id text
  , item_id text
  , kind text
  , text text
  , value double precision
  , attributes text
  , occurred_at timestamptz
);

-- drop_staging --
drop table if exists {staging};

-- reject_unknown_items --
-- A file comes with its catalogue; an event that an application records may be ahead of it, and waits instead.
update {staging} s
set reason = 'item_id is not in the catalogue'
  , content = jsonb_build_object(
        'user_id', s.user_id, 'item_id', s.item_id, 'kind', s.kind, 'text', s.text, 'value', s.value
      , 'occurred_at', s.occurred_at)::text
where s.reason is null
  and s.item_id is not null
  and not exists (select from nearline_data.item i where i.item_id = s.item_id);

-- count_reasons --
select s.reason, count(*)
from {staging} s
group by s.reason
order by count(*) desc;

-- forget_rejections --
delete from nearline_data.rejected_row r
where r.subject = %(subject)s
  and r.source = any(%(sources)s);

-- keep_rejections --
insert into nearline_data.rejected_row (subject, source, reason, content)
select %(subject)s, s.source, s.reason, s.content::jsonb
from {staging} s
where s.reason <> %(duplicate)s;

-- merge_items --
-- In order of id: two loads at once lock rows in the same order.
insert into nearline_data.item (item_id, kind, title, description, language, attributes, image_uri, is_active)
select s.item_id, s.kind, s.title, s.description, s.language, s.attributes::jsonb, s.image_uri, s.is_active
from {staging} s
where s.reason is null
order by s.item_id
on conflict (item_id) do update
set kind = excluded.kind
  , title = excluded.title
  , description = excluded.description
  , language = excluded.language
  , attributes = excluded.attributes
  , image_uri = excluded.image_uri
  , is_active = excluded.is_active
  , updated_at = now()
where (item.kind, item.title, item.description, item.language, item.attributes, item.image_uri, item.is_active)
    is distinct from (excluded.kind, excluded.title, excluded.description, excluded.language, excluded.attributes
                    , excluded.image_uri, excluded.is_active);

-- ensure_partitions --
select nearline_data._ensure_event_partitions(min(s.occurred_at), max(s.occurred_at))
from {staging} s
where s.reason is null
having count(*) > 0;

-- merge_events --
insert into nearline_data.event (event_id, user_id, item_id, kind, text, value, attributes, occurred_at)
select s.event_id, s.user_id, s.item_id, s.kind, s.text, s.value, s.attributes::jsonb, s.occurred_at
from {staging} s
where s.reason is null
order by s.occurred_at
on conflict do nothing;

-- record_file --
insert into nearline_data.ingest_file (digest, subject, source, rows_read)
select %(digest)s, %(subject)s, %(path)s, (select count(*) from {staging} s where s.source = %(source)s)
on conflict (digest, subject) do update set source = excluded.source, rows_read = excluded.rows_read, loaded_at = excluded.loaded_at;

-- record_again --
-- Files of a catalogue that were passed over are as new as those that were loaded beside them: none is read again next time.
update nearline_data.ingest_file f
set loaded_at = now()
where f.subject = %(subject)s and f.subject = 'item' and f.digest = any(%(digests)s);

-- analyze --
select nearline_data._analyze_ledger();
