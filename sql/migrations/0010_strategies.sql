-- Strategies as rows: what a list is made of, to be compared by experiment.
set local role nearline_owner;

create table nearline_data.strategy (
    name text primary key check (name <> '')
  , interest_weight real not null default 1 check (interest_weight >= 0 and interest_weight < 'Infinity')
  , transition_weight real not null default 1 check (transition_weight >= 0 and transition_weight < 'Infinity')
  , popular_weight real not null default 0 check (popular_weight >= 0 and popular_weight < 'Infinity')
  , fresh_weight real not null default 0 check (fresh_weight >= 0 and fresh_weight < 'Infinity')
  , fresh_days real not null default 7 check (fresh_days > 0 and fresh_days < 'Infinity')
  , exploration real not null default 0 check (exploration >= 0 and exploration < 'Infinity')
  , diversity real not null default 0 check (diversity >= 0 and diversity <= 1)
  , description text not null default ''
);
comment on table nearline_data.strategy is
'What a list is made of. A person gets the strategy of their arm of an experiment, else "default"; a call can name one. Weights are in standard deviations of a person''s scores over the catalogue. For example:
  insert into nearline_data.strategy (name, fresh_weight, diversity) values (''fresh'', 1, 0.2);';
comment on column nearline_data.strategy.name is 'Used by arms of experiments and by nearline.recommend; "default" is everybody''s.';
comment on column nearline_data.strategy.interest_weight is 'Of the interest vector: 1 is as trained.';
comment on column nearline_data.strategy.transition_weight is 'Of what often follows the last events: 1 is as trained.';
comment on column nearline_data.strategy.popular_weight is 'What the most popular item gets besides; others their share of it.';
comment on column nearline_data.strategy.fresh_weight is 'What an item that the catalogue learnt of this moment gets besides.';
comment on column nearline_data.strategy.fresh_days is 'Days after which a third of that is left.';
comment on column nearline_data.strategy.exploration is 'Scale of a random part (Gumbel): lists are drawn by Plackett and Luce with probabilities proportional to exp(score / exploration), anew for each person and hour.';
comment on column nearline_data.strategy.diversity is 'As the argument of nearline.recommend, which overrides it.';
comment on column nearline_data.strategy.description is 'What it is for.';
insert into nearline_data.strategy (name, description) values ('default', 'As trained.');

create index item_popularity_score_idx on nearline_data.item_popularity (score desc);
comment on index nearline_data.item_popularity_score_idx is 'nearline.recommend: the most popular of all kinds.';
