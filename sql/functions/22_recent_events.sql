create or replace function nearline.recent_events(of_user text, max_events integer default 10)
returns table (occurred_at timestamptz, kind text, item_id text, title text, text text, value double precision, event_id text)
language sql stable security definer parallel safe
begin atomic
    select e.occurred_at, e.kind, e.item_id, i.title, e.text, e.value, e.event_id
    from nearline_data.event e
    left join nearline_data.item i on i.item_id = e.item_id
    where e.user_id = of_user
    order by e.occurred_at desc, e.event_id desc
    limit greatest(least(coalesce(max_events, 10), 1000), 0);
end;
comment on function nearline.recent_events is
'The newest things that one person did, newest first; to show people their own history. max_events: at most 1000.
  select * from nearline.recent_events(of_user => ''u42'', max_events => 5);';
