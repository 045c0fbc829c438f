-- Sessions that were closed lately: when one gate takes over from another, each hears of what the other one closes.
-- Marks are never given twice.
create table closings (
    mark integer primary key autoincrement,
    session text not null
) strict;
