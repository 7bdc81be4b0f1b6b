-- What a strategy asks for passes the filters of a list; and the strategy of everybody stays.
set local role nearline_owner;

-- Asks for more now; sql/functions has the new one.
drop function if exists nearline_data._asked_for(nearline_data.strategy, text[], text[], integer);

-- Nothing kept it from being deleted: lists were then of no order.
insert into nearline_data.strategy (name, description) values ('default', 'As trained.') on conflict do nothing;

comment on column nearline_data.strategy.name is 'Used by arms of experiments and by nearline.recommend; "default" is everybody''s, and stays.';
comment on column nearline_data.strategy.exploration is 'Scale of a random part (Gumbel): lists are drawn by Plackett and Luce with probabilities proportional to exp(score / exploration), anew for each person and hour. Drawn among the items that are nearest, 5 times as many as the list has and 20, besides what follows the newest events and what the strategy asks for.';
comment on column nearline_data.experiment_arm.strategy is 'What its people get. Where nearline_data.strategy has no such row: the lists of "default", under this name, for what an application makes of its own; a warning says so.';
comment on column nearline_data.event_kind.weight is 'How much it says about what a person wants; below zero: it speaks against the item, which counts as seen then, whatever a call says.';
