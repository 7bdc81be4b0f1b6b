create or replace function nearline_data._refresh_popularity()
returns bigint
language sql volatile security definer
begin atomic
    with newest as (
        select max(e.occurred_at) as at from nearline_data.event e
    ), person as (
        -- A person counts once an item, with the strongest thing they did: no robot makes an item popular by itself.
        select e.item_id, e.user_id, max(k.weight) as weight
        from nearline_data.event e
        join nearline_data.event_kind k on k.kind = e.kind
        where e.occurred_at > (select n.at - interval '30 days' from newest n)
          and e.item_id is not null
        group by e.item_id, e.user_id
    ), counted as (
        select p.item_id, i.kind, sum(greatest(p.weight, 0))::real as score
        from person p
        join nearline_data.item i on i.item_id = p.item_id
        group by p.item_id, i.kind
    ), written as (
        insert into nearline_data.item_popularity as old (item_id, kind, score)
        select c.item_id, c.kind, c.score from counted c where c.score > 0
        on conflict (item_id) do update set kind = excluded.kind, score = excluded.score, computed_at = now()
        returning old.item_id
    ), gone as (
        delete from nearline_data.item_popularity p
        where not exists (select from counted c where c.item_id = p.item_id and c.score > 0)
    )
    select count(*) from written;
end;
comment on function nearline_data._refresh_popularity is 'Counts item_popularity anew; returns the number of items in it.';
