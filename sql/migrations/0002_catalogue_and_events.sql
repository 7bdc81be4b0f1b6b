-- What there is to recommend, and what people did.
set local role nearline_owner;

create table nearline_data.item (
    item_id text primary key check (item_id <> '')
  , kind text not null check (kind <> '')
  , title text not null check (title <> '')
  , description text not null default ''
  , language text
  , attributes jsonb not null default '{}' check (jsonb_typeof(attributes) = 'object')
  , image_uri text
  , is_active boolean not null default true
  , content_hash text not null generated always as (
        md5(kind || e'\x1f' || title || e'\x1f' || description || e'\x1f' || coalesce(language, '') || e'\x1f' || attributes::text)
    ) stored
  , created_at timestamptz not null default now()
  , updated_at timestamptz not null default now()
);
create index item_kind_idx on nearline_data.item (kind);
comment on index nearline_data.item_kind_idx is 'nearline.recommend: popular items of a kind for people without history.';
comment on table nearline_data.item is 'The catalogue: anything that can be recommended, of any kind.';
comment on column nearline_data.item.item_id is 'The application''s own id.';
comment on column nearline_data.item.kind is 'page, article, product, course, video, film, ...: lists are made per kind.';
comment on column nearline_data.item.title is 'What a person sees; plain text.';
comment on column nearline_data.item.description is 'More text for the language model; plain text, may be empty.';
comment on column nearline_data.item.language is 'Language of the text as a BCP 47 tag such as en or zh; null: unknown.';
comment on column nearline_data.item.attributes is 'Anything else as a JSON object: price, author, tags.';
comment on column nearline_data.item.image_uri is 'Address of a picture, passed through to applications.';
comment on column nearline_data.item.is_active is 'False: never recommended, history kept.';
comment on column nearline_data.item.content_hash is 'MD5 of all that the language model reads; an unchanged item is not encoded again.';
comment on column nearline_data.item.created_at is 'When the catalogue learnt of it.';
comment on column nearline_data.item.updated_at is 'When its content last changed.';

create table nearline_data.event_kind (
    kind text primary key check (kind <> '')
  , weight real not null
  , phrase text not null
  , description text not null
);
comment on table nearline_data.event_kind is 'What people can do. Add a row to add a kind; no code changes.';
comment on column nearline_data.event_kind.kind is 'Name used in events.';
comment on column nearline_data.event_kind.weight is 'How much it says about what a person wants; below zero: it speaks against the item.';
comment on column nearline_data.event_kind.phrase is 'How a reason reads: "because you " || phrase || " " || title.';
comment on column nearline_data.event_kind.description is 'When an application should record it.';

insert into nearline_data.event_kind (kind, weight, phrase, description) values
    ('view', 1, 'viewed', 'An item''s page was shown because the person asked for it.')
  , ('click', 1, 'clicked', 'A link or result was followed.')
  , ('search', 1, 'searched for', 'A person typed a query; its text is in the column text.')
  , ('play', 2, 'played', 'A video, song or game was started.')
  , ('rate', 2, 'rated', 'A rating was given; the number is in the column value.')
  , ('comment', 2, 'commented on', 'A comment was written; its text is in the column text.')
  , ('share', 2, 'shared', 'The item was sent to somebody.')
  , ('like', 3, 'liked', 'An explicit sign of approval.')
  , ('favourite', 3, 'saved', 'Marked to find it again.')
  , ('wishlist', 3, 'wished for', 'Put on a wish list.')
  , ('cart', 3, 'put into the cart', 'Put into the shopping cart.')
  , ('purchase', 5, 'bought', 'Paid for; quantity or amount may be in the column value.')
  , ('return', -2, 'returned', 'A purchase was sent back.')
  , ('dislike', -3, 'disliked', 'An explicit sign of disapproval.')
  , ('hide', -3, 'hid', 'The person asked not to see it again.');

create table nearline_data.event (
    event_id text not null check (event_id <> '')
  , user_id text not null check (user_id <> '')
  , item_id text
  , kind text not null references nearline_data.event_kind (kind)
  , text text
  , value double precision
  , attributes jsonb
  , occurred_at timestamptz not null
  , recorded_at timestamptz not null default now()
  , transaction_id xid8 not null default pg_current_xact_id()
  , primary key (event_id, occurred_at)
  , constraint event_says_something check (item_id is not null or text is not null)
  , constraint event_is_not_in_the_future check (occurred_at <= recorded_at + interval '5 minutes')
) partition by range (occurred_at);
create index event_user_id_occurred_at_idx on nearline_data.event (user_id, occurred_at desc, event_id desc);
create index event_transaction_id_idx on nearline_data.event (transaction_id);
comment on index nearline_data.event_user_id_occurred_at_idx is 'The newest events of a person: nearline.recommend and refresh_interests.';
comment on index nearline_data.event_transaction_id_idx is 'The events since a cursor: refresh_interests and nearline.freshness.';
comment on table nearline_data.event is 'The ledger: everything that people did, once. Interest vectors are a pure function of it.';
comment on column nearline_data.event.event_id is 'The application''s own id; recording it again changes nothing.';
comment on column nearline_data.event.user_id is 'The application''s own id of a person or session.';
comment on column nearline_data.event.item_id is 'The item it was done to; null for a search. May be unknown to the catalogue: it then waits.';
comment on column nearline_data.event.kind is 'What was done, a row of event_kind.';
comment on column nearline_data.event.text is 'Search query or comment.';
comment on column nearline_data.event.value is 'Rating, quantity or amount; what it means depends on the kind.';
comment on column nearline_data.event.attributes is 'Anything else as JSON.';
comment on column nearline_data.event.occurred_at is 'When the person did it; used for order and decay only.';
comment on column nearline_data.event.recorded_at is 'When the transaction that wrote it began.';
comment on column nearline_data.event.transaction_id is 'The transaction that wrote it: the position that cursors follow.';

create table nearline_data.ingest_file (
    digest text not null
  , subject text not null check (subject in ('item', 'event'))
  , source text not null
  , rows_read bigint not null
  , loaded_at timestamptz not null default now()
  , primary key (digest, subject)
);
comment on table nearline_data.ingest_file is 'Ledger of loaded files: the same bytes are never loaded twice.';
comment on column nearline_data.ingest_file.digest is 'SHA-256 of the file.';
comment on column nearline_data.ingest_file.subject is 'What it was loaded as.';
comment on column nearline_data.ingest_file.source is 'Its name when it was loaded.';
comment on column nearline_data.ingest_file.rows_read is 'Rows in it, rejected ones and duplicates included.';
comment on column nearline_data.ingest_file.loaded_at is 'When the load was committed.';

create table nearline_data.rejected_row (
    rejected_id bigint generated always as identity primary key
  , subject text not null check (subject in ('item', 'event'))
  , source text not null
  , reason text not null
  , content jsonb not null
  , rejected_at timestamptz not null default now()
);
create index rejected_row_rejected_at_idx on nearline_data.rejected_row (rejected_at);
comment on index nearline_data.rejected_row_rejected_at_idx is 'nearline.freshness and housekeeping.';
comment on table nearline_data.rejected_row is 'Rows that could not be loaded, kept with the reason.';
comment on column nearline_data.rejected_row.rejected_id is 'Order of arrival.';
comment on column nearline_data.rejected_row.subject is 'What it should have become.';
comment on column nearline_data.rejected_row.source is 'File or caller it came from.';
comment on column nearline_data.rejected_row.reason is 'What was expected and what was seen.';
comment on column nearline_data.rejected_row.content is 'The row as it was read; long texts cut.';
comment on column nearline_data.rejected_row.rejected_at is 'When.';

create table nearline_data.item_popularity (
    item_id text primary key references nearline_data.item (item_id) on delete cascade
  , kind text not null
  , score real not null
  , computed_at timestamptz not null default now()
);
create index item_popularity_kind_score_idx on nearline_data.item_popularity (kind, score desc);
comment on index nearline_data.item_popularity_kind_score_idx is 'nearline.recommend: the most popular of each kind.';
comment on table nearline_data.item_popularity is 'What many people took lately: shown to people without history.';
comment on column nearline_data.item_popularity.item_id is 'The item.';
comment on column nearline_data.item_popularity.kind is 'Its kind, repeated here for the index.';
comment on column nearline_data.item_popularity.score is 'People who took it in the 30 days before the newest event, weighted by kind of event.';
comment on column nearline_data.item_popularity.computed_at is 'When it was counted.';
