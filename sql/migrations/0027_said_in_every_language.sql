-- What a person said of a topic is a reason too, and was said in English whatever they read.
set local role nearline_owner;

alter table nearline_data.reason_language add column stated text check (strpos(stated, '{}') > 0);
comment on column nearline_data.reason_language.stated is
'The reason of an item of a topic that they asked for more of: "you asked for more of {}", with the topic for {}; null: in English.';
update nearline_data.reason_language l
set stated = s.stated
from (values
    ('de', 'Sie wollten mehr von {}')
  , ('fr', 'vous avez demandé plus de {}')
  , ('es', 'ha pedido más de {}')
  , ('zh', '您希望多看到 {}')
) as s (language, stated)
where l.language = s.language;

-- An item of no name is none. Not asked of what is there: it would read it all while everybody waits.
alter table nearline_data.event add constraint event_item_id_says_something check (item_id <> '') not valid;
comment on constraint event_item_id_says_something on nearline_data.event is
'By COPY too: an event without an item has null. nearline.record_event says it with the fix.';

comment on column nearline_data.experiment.expected_lift is
'Difference to the control that is hoped for, as a part of the rate of both together: intervals are narrowest about where it can just be seen. Another value makes them wider, never wrong.';
