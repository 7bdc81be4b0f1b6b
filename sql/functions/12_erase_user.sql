create or replace function nearline.erase_user(of_user text)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    erased bigint;
    typed text[];
begin
    if coalesce(of_user, '') = '' then
        raise exception 'of_user is %, expected the id of a person or session', coalesce(quote_literal(of_user), 'null')
            using errcode = '22023', hint = 'It is the id used in events.';
    end if;
    -- What they typed and nobody else did, as it is kept with its vector. All that anybody typed is read for it, before anything is
    -- locked, and not at all where they typed nothing.
    typed := array(select distinct left(e.text, 500) from nearline_data.event e where e.user_id = of_user and e.text is not null);
    if typed <> '{}' then
        typed := array(
            select t.typed from unnest(typed) as t (typed)
            except
            select left(e.text, 500)
            from nearline_data.event e
            where e.text is not null and e.user_id <> of_user and left(e.text, 500) = any (typed)
        );
    end if;
    delete from nearline_data.event e where e.user_id = of_user;
    get diagnostics erased = row_count;
    -- In the order in which a refresh takes them: the other way round the two could wait for each other.
    delete from nearline_data.waiting_event w where w.user_id = of_user;
    -- By way of the versions: before Postgres 18 an index on both is of no use to an id alone.
    delete from nearline_data.user_interest u
    using nearline_data.model_version m
    where u.model_version = m.model_version and u.user_id = of_user;
    delete from nearline_data.interest_without i where i.user_id = of_user;
    delete from nearline_data.explanation_wanted w where w.user_id = of_user;
    delete from nearline_data.exposure x where x.user_id = of_user;
    delete from nearline_data.audience_member m where m.user_id = of_user;
    delete from nearline_data.stated_interest s where s.user_id = of_user;
    -- A row that could not be read is kept as it came: it goes if the id stands in it as a word.
    delete from nearline_data.rejected_row r
    where btrim(r.content ->> 'user_id') = btrim(of_user)
       or left(r.content ->> 'text', 500) = any (typed)
       or r.content ->> 'row' ~ ('(?<![[:alnum:]])' || regexp_replace(of_user, '([^[:alnum:]])', $re$\\\1$re$, 'g') || '(?![[:alnum:]])');
    -- After the vectors, as a refresh may wait for one of these while it has written vectors.
    delete from nearline_data.query_embedding q
    using nearline_data.model_version m
    where q.model_version = m.model_version and q.query = any (typed);
    -- A refresh that is at work on this person now is undone by the next one, which reads this.
    insert into nearline_data.erased_user (user_id) values (of_user) on conflict do nothing;
    return erased;
end
$$;
comment on function nearline.erase_user is
'Forgets a person: their events, interests and exposures, and what they typed where nobody else did; returns the number of events. Where they typed anything, all events are read once. Archived events and models trained before are not touched, nor what later ones begin with: trigger daily_training with afresh.
  select nearline.erase_user(of_user => ''u42'');';
