-- Blocks of refresh_interests: what nearline.explain was asked, measured. All of it in one transaction, which holds the
-- cursor, so that no vector of these people is written meanwhile.

-- is_asked --
select exists (
    select from nearline_data.explanation_wanted w where nearline_data._shard_of(w.user_id, %(shard_count)s) = %(shard)s
);

-- wanted --
select w.user_id
from nearline_data.explanation_wanted w
where nearline_data._shard_of(w.user_id, %(shard_count)s) = %(shard)s
order by w.asked_at, w.user_id
limit %(max_people)s;

-- stored --
-- Locked before what is measured for it is written, as nearline.erase_user takes them: whoever erases this person waits,
-- and then finds all of it.
select u.user_id, u.position::text, u.updated_at
from nearline_data.user_interest u
where u.model_version = %(model_version)s
  and u.user_id = any (%(users)s)
  and not exists (
      select from nearline_data.interest_without i
      where i.user_id = u.user_id and i.model_version = u.model_version and i.interest_at = u.updated_at
  )
for share of u;

-- newest_events --
select distinct n.event_id
from (
    select e.event_id
    from nearline_data.event e
    where e.user_id = %(user)s and pg_visible_in_snapshot(e.transaction_id, %(position)s::pg_snapshot)
    order by e.occurred_at desc, e.event_id desc
    limit %(max_events)s
) n
order by n.event_id;

-- histories_without --
-- As "histories" of refresh.sql, of one person, once for each event that is left out.
select n.event_id, a.newest_at, a.kinds, a.items, case when a.has_texts then a.texts end as texts
from unnest(%(events)s::text[]) as n (event_id)
cross join lateral (
    select date_part('epoch', max(h.occurred_at)) as newest_at
         , string_agg(int2send(array_position(%(kinds)s::text[], h.kind)::smallint), ''::bytea) as kinds
         , array_agg(h.item_id) as items
         , array_agg(h.text) as texts
         , bool_or(h.text is not null) as has_texts
    from (
        select e.occurred_at, e.kind, e.item_id, e.text
        from (
            select w.event_id, w.occurred_at, w.item_id, w.kind, case when w.text ~ '\S' then left(w.text, 500) end as text
            from nearline_data.event w
            where w.user_id = %(user)s
              and pg_visible_in_snapshot(w.transaction_id, %(position)s::pg_snapshot)
              and w.event_id <> n.event_id
            order by w.occurred_at desc, w.event_id desc
            limit %(history_length)s
        ) e
        order by e.occurred_at, e.event_id
    ) h
) a
where a.newest_at is not null;

-- forget_measured --
delete from nearline_data.interest_without i where i.user_id = any (%(users)s);

-- save_measured --
insert into nearline_data.interest_without (user_id, model_version, event_id, vector, interest_at)
values (%(user)s, %(model_version)s, %(event)s, %(vector)s, %(interest_at)s);

-- take_wanted --
delete from nearline_data.explanation_wanted w where w.user_id = any (%(users)s);
