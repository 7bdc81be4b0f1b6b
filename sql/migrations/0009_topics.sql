-- What the catalogue is about, in the words of its attributes: what nearline.interests names a person's interests by.
set local role nearline_owner;

create table nearline_data.topic (
    attribute text not null
  , value text not null
  , item_count integer not null check (item_count > 0)
  , share real not null check (share > 0 and share <= 1)
  , primary key (attribute, value)
);
comment on table nearline_data.topic is 'How common each text in the attributes of active items is, their kinds and languages too; counted anew every day.';
comment on column nearline_data.topic.attribute is 'Name of the attribute, or kind, or language.';
comment on column nearline_data.topic.value is 'Its text, or one of its texts.';
comment on column nearline_data.topic.item_count is 'Active items that have it.';
comment on column nearline_data.topic.share is 'Part of all active items.';

comment on column nearline_data.user_interest.newest_event_at is 'When the newest event in the position happened, also one whose item has no vector yet.';
