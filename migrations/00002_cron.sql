-- +goose Up
-- +goose StatementBegin
-- One number or name of a cron field, as Go's strconv.Atoi and robfig/cron read
-- it: ASCII digits with at most a plus before them, names in any case (İ is
-- what Go's ToLower makes an i of). NULL when it is neither. That no number is
-- too large has been looked at before.
CREATE FUNCTION sonde_cron_value(given text, field int) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    names  text := CASE field WHEN 4 THEN 'jan feb mar apr may jun jul aug sep oct nov dec'
                              WHEN 5 THEN 'sun mon tue wed thu fri sat' END;
    place  int;
    digits text;
BEGIN
    IF names IS NOT NULL AND length(given) = 3 AND given !~ '[ 0-9]' THEN
        place := strpos(names, translate(given, 'ABCDEFGHIJKLMNOPQRSTUVWXYZİ', 'abcdefghijklmnopqrstuvwxyzi'));
        IF place > 0 AND place % 4 = 1 THEN
            RETURN place / 4 + CASE field WHEN 4 THEN 1 ELSE 0 END;
        END IF;
    END IF;
    IF given !~ '^[+]?[0123456789]+$' THEN
        RETURN NULL;
    END IF;
    digits := ltrim(ltrim(given, '+'), '0');
    RETURN coalesce(nullif(digits, ''), '0')::bigint;
END $$;
-- +goose StatementEnd
COMMENT ON FUNCTION sonde_cron_value IS 'A number or name in field 1 to 5 of a cron expression, field 0 for a step; NULL when it is none.';

-- +goose StatementBegin
-- Accepts what plan.ParseCron in Go accepts: the five-field parser of
-- robfig/cron, oddities included ("*-5" is "*"; ",": no value at all), without
-- what never fires. A test gives 100,000 random expressions to both.
CREATE FUNCTION sonde_cron_problem(expression text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    titles  constant text[] := '{minute,hour,day of month,month,day of week}';
    least   constant int[]  := '{0,0,1,1,0}';
    most    constant int[]  := '{59,23,31,12,6}';
    longest constant int[]  := '{31,29,31,30,31,30,31,31,30,31,30,31}';
    -- What unicode.IsSpace in Go calls space.
    spaces  constant text   := E'\t\n\x0B\f\r\u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000';
    fields  text[];
    part    text;
    halves  text[];
    ends    text[];
    lo      bigint;
    hi      bigint;
    step    bigint;
    star    boolean;
    stars   boolean[] := '{f,f,f,f,f}'; -- fields that restrict nothing
    bits    bigint[]  := '{0,0,0,0,0}';
    dates   boolean   := false;
BEGIN
    IF expression ~ '^(CRON_)?TZ=' THEN
        RETURN format('%s names a time zone: write only the five fields, and the zone into the column time_zone', quote_literal(expression));
    END IF;
    IF expression ~ '^@every' THEN
        RETURN format('%s is no expression of five fields: for a fixed distance set run_interval instead of run_at', quote_literal(expression));
    END IF;
    IF expression ~ '^@' THEN
        RETURN format('%s is no expression of five fields: write the fields, for @daily "0 0 * * *", for @hourly "0 * * * *"', quote_literal(expression));
    END IF;
    -- robfig/cron reads what an int of Go holds, which is less on a 32-bit host:
    -- what one host of a database refuses all must.
    SELECT m[1] INTO part FROM regexp_matches(expression, '0*([123456789][0123456789]*)', 'g') m
    WHERE length(m[1]) > 10 OR length(m[1]) = 10 AND m[1] COLLATE "C" > '2147483647' LIMIT 1;
    IF FOUND THEN
        RETURN format('%s: the number %s is too large', quote_literal(expression), part);
    END IF;
    fields := array_remove(string_to_array(translate(expression, spaces, repeat(' ', length(spaces))), ' '), '');
    IF cardinality(fields) <> 5 THEN
        RETURN format('%s has %s fields: give five, "minute hour day-of-month month day-of-week", such as "30 2 * * *"',
            quote_literal(expression), cardinality(fields));
    END IF;

    FOR f IN 1..5 LOOP
        FOREACH part IN ARRAY string_to_array(fields[f], ',') LOOP
            CONTINUE WHEN part = ''; -- "1,,2" is "1,2"
            halves := string_to_array(part, '/');
            ends := string_to_array(halves[1], '-');
            star := coalesce(ends[1] IN ('*', '?'), false);
            IF star THEN
                lo := least[f];
                hi := most[f];
            ELSE
                lo := sonde_cron_value(coalesce(ends[1], ''), f);
                IF cardinality(ends) > 2 THEN
                    RETURN format('%s in the %s field: a range has one hyphen, such as %s-%s', quote_literal(part), titles[f], least[f], most[f]);
                END IF;
                hi := CASE WHEN cardinality(ends) = 2 THEN sonde_cron_value(ends[2], f) ELSE lo END;
                IF lo IS NULL OR hi IS NULL THEN
                    RETURN format('%s in the %s field is no number%s: use %s to %s, *, ranges (a-b), lists (a,b) and steps (*/n)',
                        quote_literal(part), titles[f],
                        CASE f WHEN 4 THEN ' or name from jan to dec' WHEN 5 THEN ' or name from sun to sat' ELSE '' END, least[f], most[f]);
                END IF;
            END IF;
            step := 1;
            IF cardinality(halves) > 2 THEN
                RETURN format('%s in the %s field has two steps: give one, such as */5', quote_literal(part), titles[f]);
            ELSIF cardinality(halves) = 2 THEN
                step := sonde_cron_value(halves[2], 0);
                IF step IS NULL OR step = 0 THEN
                    RETURN format('%s in the %s field: a step is a number from 1 on, such as */5', quote_literal(part), titles[f]);
                END IF;
                IF cardinality(ends) = 1 THEN
                    hi := most[f]; -- "5/10" is "5-59/10"
                END IF;
            END IF;
            IF f = 5 AND (lo = 7 OR hi = 7) THEN
                RETURN format('%s in the day of week field: days are 0 to 6, use 0 for Sunday', quote_literal(part));
            END IF;
            IF lo < least[f] OR hi > most[f] THEN
                RETURN format('%s in the %s field is out of range: use %s to %s', quote_literal(part), titles[f], least[f], most[f]);
            END IF;
            IF lo > hi THEN
                RETURN format('%s in the %s field runs backward: write %s-%s,%s-%s', quote_literal(part), titles[f], lo, most[f], least[f], hi);
            END IF;
            stars[f] := stars[f] OR star AND step = 1;
            IF step = 1 THEN
                bits[f] := bits[f] | ((1::bigint << (hi + 1)::int) - (1::bigint << lo::int));
            ELSE
                step := LEAST(step, 100);
                WHILE lo <= hi LOOP
                    bits[f] := bits[f] | (1::bigint << lo::int);
                    lo := lo + step;
                END LOOP;
            END IF;
        END LOOP;
    END LOOP;

    -- When neither day field is a star, a day that fits one of them is enough.
    -- Every day of a month falls on every day of the week in some year, so the
    -- two can be looked at apart.
    FOR m IN 1..12 LOOP
        dates := dates OR (bits[4] >> m) & 1 = 1 AND bits[3] & ((1::bigint << (longest[m] + 1)) - 1) <> 0;
    END LOOP;
    IF bits[1] = 0 OR bits[2] = 0 OR bits[4] = 0
        OR NOT (CASE WHEN stars[3] OR stars[5] THEN dates AND bits[5] <> 0 ELSE dates OR bits[5] <> 0 END) THEN
        RETURN format('%s never fires: no date has such a day and month; 29 February and the 31st of long months are the last days there are',
            quote_literal(expression));
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
COMMENT ON FUNCTION sonde_cron_problem IS 'What is wrong with a cron expression of five fields, and what would be right; NULL when nothing is.';

-- +goose StatementBegin
-- The name must be one of pg_timezone_names in its exact spelling and not one
-- of Debian's copies (posix/…), because Go, which plans the runs, takes no other.
-- Reading that view costs a file access per zone, so the server is asked for
-- the one name instead: it spells names its own way when the setting is read back.
CREATE FUNCTION sonde_time_zone_problem(given text) RETURNS text
LANGUAGE plpgsql STRICT SET timezone = 'UTC' AS $$
DECLARE
    spelt text;
BEGIN
    IF given = 'UTC' THEN
        RETURN NULL;
    END IF;
    -- Names without a city are listed, because PostgreSQL takes every other
    -- word for a POSIX rule ("FOO3", "FOO/BAR3"); it shows those in capitals.
    IF given ~* '^(?!posix)[a-z_]+(/[a-z0-9_+-]+){1,2}$'
        OR given IN ('GMT', 'GMT0', 'GMT+0', 'GMT-0', 'UCT', 'Universal', 'Zulu', 'Greenwich', 'CET', 'EET', 'MET', 'WET',
            'EST', 'MST', 'HST', 'EST5EDT', 'CST6CDT', 'MST7MDT', 'PST8PDT', 'Cuba', 'Egypt', 'Eire', 'GB', 'GB-Eire',
            'Hongkong', 'Iceland', 'Iran', 'Israel', 'Jamaica', 'Japan', 'Kwajalein', 'Libya', 'NZ', 'NZ-CHAT', 'Navajo',
            'PRC', 'Poland', 'Portugal', 'ROC', 'ROK', 'Singapore', 'Turkey', 'W-SU') THEN
        BEGIN
            PERFORM set_config('timezone', given, true);
            spelt := current_setting('timezone');
            IF spelt !~ '/' OR spelt ~ '[a-z]' THEN
                IF spelt = given THEN
                    RETURN NULL;
                END IF;
                RETURN format('time zone %s is spelt %s', quote_literal(given), quote_literal(spelt));
            END IF;
        EXCEPTION WHEN invalid_parameter_value THEN
            NULL; -- no such zone
        END;
    END IF;
    RETURN format('%s is no time zone: give a name of pg_timezone_names, such as "UTC" or "Europe/Berlin"', quote_literal(given));
END $$;
-- +goose StatementEnd
COMMENT ON FUNCTION sonde_time_zone_problem IS 'What is wrong with the name of a time zone; NULL when the server and the program both know it.';
