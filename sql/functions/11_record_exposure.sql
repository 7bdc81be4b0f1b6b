create or replace function nearline.record_exposure(of_request uuid, to_user text, shown_items text[])
returns integer
language sql volatile security definer
begin atomic
    with written as (
        insert into nearline_data.exposure (request_id, user_id, item_id, list_position, model_version)
        select of_request, to_user, s.item_id, min(s.list_position)::integer, (select l.model_version from nearline_data.live_version l)
        from unnest(shown_items) with ordinality as s (item_id, list_position)
        where s.item_id is not null
        group by s.item_id
        on conflict (request_id, item_id) do nothing
        returning 1
    )
    select count(*)::integer from written;
end;
comment on function nearline.record_exposure is
'Records which items a person was really shown, in the order of the list; returns how many were new. A retry with the same request changes nothing.
  select nearline.record_exposure(of_request => gen_random_uuid(), to_user => ''u42'', shown_items => array[''page-7'', ''item-3'']);';
