-- Sessions that were closed lately: while another gate takes over, each hears of what the other one has closed.
-- Marks are never given twice.
create table closings (
    mark integer primary key autoincrement,
    session text not null
) strict;
