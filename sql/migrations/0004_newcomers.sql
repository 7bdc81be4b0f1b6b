-- What somebody without any event is offered comes from the model too.
set local role nearline_owner;

alter table nearline_data.model_version add column newcomer_interest vector(128);
comment on column nearline_data.model_version.newcomer_interest is 'Interest of a person without any event: what newcomers take. Null in versions from before it.';
