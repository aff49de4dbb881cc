/* Phone numbers. A number is taken only where it can mean one thing: whatever could be the number
 * of somebody else is refused. */
#include "encoding.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    MIN_WITHOUT_PLUS = 11, /* digits of an international number that has no plus sign */
    MAX_NATIONAL = 10,     /* digits of a national number without its trunk prefix */
    MAX_LENGTH = 1000,     /* bytes of a text that is looked at closely */
};

#define DIGITS "0123456789"
#define SEPARATORS "-.()/"

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static size_t count_digits(const char *from, const char *to) {
    size_t count = 0;
    for (; from < to; from++) {
        count += is_digit(*from);
    }
    return count;
}

static bool refuse(struct mistake *mistake, const char *code) {
    mistake_begin(mistake, code);
    return false;
}

static bool refuse_count(struct mistake *mistake, const char *code, const char *name,
                         size_t count) {
    mistake_number(mistake_begin(mistake, code), name, count);
    return false;
}

static bool refuse_text(struct mistake *mistake, const char *code, const char *name,
                        const char *text, size_t length) {
    mistake_text(mistake_begin(mistake, code), name, text, length);
    return false;
}

/* Reading characters --------------------------------------------------------------------------- */

enum sort { BLANK, MARK, OTHER, END };

struct reader {
    const unsigned char *at, *end;
    const char *piece; /* what a character of the sort OTHER stands for */
    size_t size;
};

static enum sort read_character(struct reader *reader) {
    if (reader->at == reader->end) {
        return END;
    }
    unsigned char first = *reader->at;
    size_t length = first < 0x80 ? 1 : utf8_length(reader->at, (size_t)(reader->end - reader->at));
    reader->piece = (const char *)reader->at;
    reader->size = length > 0 ? length : 1;
    reader->at += reader->size;
    if (first < 0x80) {
        return first == ' ' || (first >= '\t' && first <= '\r') ? BLANK : OTHER;
    } else if (length == 0) {
        return OTHER;
    }
    int sorts = sorts_of(utf8_point((const unsigned char *)reader->piece, length));
    if ((sorts & IS_HYPHEN) != 0) {
        reader->piece = "-";
        reader->size = 1;
    }
    return (sorts & IS_BLANK) != 0 ? BLANK : (sorts & IS_MARK) != 0 ? MARK : OTHER;
}

static void skip_blanks(struct reader *reader) {
    struct reader ahead = *reader;
    for (enum sort sort; (sort = read_character(&ahead)) == BLANK || sort == MARK;) {
        *reader = ahead;
    }
}

/* Skips a word in lower case, in whatever case it is written. */
static void skip_word(struct reader *reader, const char *word) {
    struct reader ahead = *reader;
    for (; *word != '\0'; word++) {
        enum sort sort;
        while ((sort = read_character(&ahead)) == MARK) {
        }
        if (sort != OTHER || strncasecmp(ahead.piece, word, 1) != 0) {
            return;
        }
    }
    *reader = ahead;
}

/* A text with plain blanks and hyphens only, and nothing before and behind the number. `length`
 * goes on counting where there is no room left. */
struct cleaned {
    char text[MAX_LENGTH + 1];
    size_t length;
};

static void append(struct cleaned *cleaned, const char *piece, size_t size) {
    for (size_t i = 0; i < size; i++, cleaned->length++) {
        if (cleaned->length < MAX_LENGTH) {
            cleaned->text[cleaned->length] = piece[i];
        }
    }
}

static void clean(struct cleaned *cleaned, const char *text, size_t length) {
    const unsigned char *start = (const unsigned char *)text;
    struct reader reader = {start, start + length, NULL, 0};
    cleaned->length = 0;
    skip_blanks(&reader);
    skip_word(&reader, "'"); /* spreadsheets mark a number so that is to stay text */
    skip_blanks(&reader);
    skip_word(&reader, "tel:");
    skip_blanks(&reader);
    size_t blanks = 0;
    for (enum sort sort; (sort = read_character(&reader)) != END;) {
        if (sort == BLANK) {
            blanks++;
        } else if (sort == OTHER) {
            for (; blanks > 0; blanks--) {
                append(cleaned, " ", 1);
            }
            append(cleaned, reader.piece, reader.size);
        }
    }
    cleaned->text[cleaned->length < MAX_LENGTH ? cleaned->length : MAX_LENGTH] = '\0';
}

/* Shapes of other things ----------------------------------------------------------------------- */

static size_t skip_digits(const char **at) {
    size_t count = strspn(*at, DIGITS);
    *at += count;
    return count;
}

/* A spreadsheet makes 1.23E+10 or 12345678900.0 of a number, or 12345678900.5 where somebody
 * calculated. */
static const char *number_problem(const char *at, const char *end) {
    at += *at == '+';
    size_t whole = skip_digits(&at);
    bool has_point = *at == '.';
    at += has_point || *at == ',';
    size_t zeros = strspn(at, "0"), digits = skip_digits(&at);
    if (at == end) {
        bool is_fraction = whole > 0 && has_point && digits > 0 && (digits <= 2 || zeros == digits);
        return is_fraction ? "phone_fraction" : NULL;
    }
    bool has_exponent = *at == 'e' || *at == 'E';
    at += has_exponent;
    at += *at == '+' || *at == '-';
    return whole > 0 && has_exponent && skip_digits(&at) > 0 && at == end ? "phone_exponent" : NULL;
}

static bool is_year(const char *digits, size_t count) {
    long year = count == 4 ? strtol(digits, NULL, 10) : 0;
    return count == 2 || (year >= 1800 && year <= 2199) || year == 9999;
}

static bool is_day_and_month(const char *a, size_t a_count, const char *b, size_t b_count) {
    long first = a_count <= 2 ? strtol(a, NULL, 10) : 0;
    long second = b_count <= 2 ? strtol(b, NULL, 10) : 0;
    return first >= 1 && second >= 1 &&
           ((first <= 31 && second <= 12) || (first <= 12 && second <= 31));
}

/* y-m-d, d-m-y or m-d-y. A time may follow a year of four digits. */
static bool is_date(const char *at, const char *end) {
    const char *parts[3];
    size_t counts[3];
    for (int i = 0; i < 3; i++) {
        if (i > 0) {
            at += strspn(at, " ");
            if (*at == '\0' || strchr("-./", *at) == NULL) {
                return false;
            }
            at++;
            at += strspn(at, " ");
        }
        parts[i] = at;
        counts[i] = skip_digits(&at);
        if (counts[i] == 0) {
            return false;
        }
    }
    at += *at == '.';
    bool is_whole = at == end, has_time = *at == ' ';
    if (counts[0] == 4) {
        return (is_whole || has_time) && is_year(parts[0], 4) && counts[1] <= 2 &&
               strtol(parts[1], NULL, 10) <= 12 &&
               is_day_and_month(parts[1], counts[1], parts[2], counts[2]);
    }
    return (is_whole || (has_time && counts[2] == 4)) && is_year(parts[2], counts[2]) &&
           is_day_and_month(parts[0], counts[0], parts[1], counts[1]);
}

/* 030/1234567 has a separator, 1234567/7654321 is two numbers. */
static bool is_two_numbers(const char *at, const char *end) {
    size_t before = 0, total = count_digits(at, end);
    for (; at < end && (*at != '/' || before < PHONE_MIN_DIGITS); at++) {
        before += is_digit(*at);
    }
    return at < end && total - before >= PHONE_MIN_DIGITS;
}

static const char *shape_problem(const char *at, const char *end) {
    return *at == '-'                ? "phone_minus"
           : is_date(at, end)        ? "phone_date"
           : is_two_numbers(at, end) ? "phone_two_numbers"
                                     : number_problem(at, end);
}

/* Characters that are no part of a number ------------------------------------------------------ */

/* What stands before the extension of a number within a company: ext, xt, x12, #12. */
static bool is_extension(const char *at) {
    const char *word = at + (*at == ';');
    return strncasecmp(word, "ext", 3) == 0 || strncasecmp(word, "xt", 2) == 0 ||
           ((*at == 'x' || *at == 'X') && is_digit(at[at[1] == '.' ? 2 : 1])) ||
           (*at == '#' && is_digit(at[1]));
}

static bool refuse_character(struct mistake *mistake, const char *start, const char *bad,
                             const char *end) {
    size_t digits = count_digits(start, bad), length = 1;
    if (digits >= PHONE_MIN_DIGITS && is_extension(bad)) {
        return refuse_count(mistake, "phone_extension", "digits", digits);
    } else if (digits >= PHONE_MIN_DIGITS && strchr("+,;|&", *bad) != NULL && *bad != '\0' &&
               count_digits(bad, end) >= PHONE_MIN_DIGITS) {
        return refuse_text(mistake, "phone_second_number", "character", bad, 1);
    } else if (*bad == '+' && digits == 0) {
        return refuse(mistake, "phone_plus_twice");
    } else if (*bad == '+') {
        return refuse_count(mistake, "phone_plus_inside", "digits", digits);
    }
    while (bad + length < end && ((unsigned char)bad[length] & 0xC0) == 0x80) {
        length++;
    }
    const char *code = digits > 0 ? "phone_character" : "phone_first_character";
    refuse_text(mistake, code, "character", bad, length);
    mistake_number(mistake, "digits", digits);
    return false;
}

/* Calling codes -------------------------------------------------------------------------------- */

/* Does a list of words of this size hold this one? */
static bool is_listed(const char *list, const char *word, size_t length) {
    for (const char *at = list; (at = strpbrk(at, DIGITS)) != NULL; at += strspn(at, DIGITS)) {
        if (strspn(at, DIGITS) == length && memcmp(at, word, length) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_calling_code(const char *code, size_t length) {
    /* Those of one and two digits; all others have three. */
    static const char known[] =
        "1 7 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 "
        "62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98";
    return is_listed(known, code, length) ||
           (length == 3 && code[0] != '0' && !is_listed(known, code, 1) &&
            !is_listed(known, code, 2));
}

/* National numbers of these keep their leading 0 behind the calling code. */
static bool keeps_zero(const char *code, size_t length) {
    return is_listed("39 225 241 242 378", code, length);
}

/* What is dialled before a national number within a country. */
static const char *trunk_of(const struct country *country) {
    return is_listed("7", country->code, country->length)    ? "8"
           : is_listed("36", country->code, country->length) ? "06"
                                                             : "0";
}

/* Length of the calling code that is all there is before this place; 0 where something else is. */
static size_t code_before(const char *start, const char *place, char code[4]) {
    size_t zeros = 0, length = 0;
    bool plus = false;
    for (; start < place; start++) {
        if (*start == '+') {
            plus = true;
        } else if (is_digit(*start) && !plus && zeros < 2) {
            if (*start != '0') {
                return 0;
            }
            zeros++;
        } else if (is_digit(*start)) {
            if (length == 3) {
                return 0;
            }
            code[length++] = *start;
        }
    }
    return length > 0 && is_calling_code(code, length) ? length : 0;
}

/* The area code in brackets that begins with 0, as in (030). */
static const char *find_area(const char *text, size_t *length) {
    for (text = strstr(text, "(0"); text != NULL; text = strstr(text + 1, "(0")) {
        *length = strspn(text + 1, DIGITS);
        if (*length > 1 && text[*length + 1] == ')') {
            return text + 1;
        }
    }
    return NULL;
}

/* The 0 in brackets of +44 (0)20… is dialled within the country only: it is taken out. That of +44
 * (020)… is refused. */
static bool drop_bracketed_zero(char *text, struct mistake *mistake) {
    char code[4];
    size_t length, area_length;
    const char *area = find_area(text, &area_length);
    length = area != NULL ? code_before(text, area - 1, code) : 0;
    /* In Benin, numbers begin with 01. */
    if (length > 0 && !keeps_zero(code, length) && !is_listed("229", code, length)) {
        return refuse_text(mistake, "phone_area_zero", "area", area, area_length);
    }
    char *zero = strstr(text, "(0)");
    if (zero == NULL) {
        return true;
    }
    length = code_before(text, zero, code);
    if (length == 0) {
        return refuse(mistake, "phone_optional_zero");
    } else if (keeps_zero(code, length)) {
        return refuse_text(mistake, "phone_kept_zero", "code", code, length);
    } else if (strstr(zero + 3, "(0)") != NULL) {
        return refuse(mistake, "phone_zero_twice");
    }
    memmove(zero, zero + 3, strlen(zero + 3) + 1);
    return true;
}

/* From text to digits -------------------------------------------------------------------------- */

/* Takes these characters out. Gives the new end. */
static char *drop(char *text, const char *end, const char *characters) {
    char *to = text;
    for (const char *from = text; from < end; from++) {
        if (*from == '\0' || strchr(characters, *from) == NULL) {
            *to++ = *from;
        }
    }
    *to = '\0';
    return to;
}

/* Leaves the digits in `cleaned->text`. With a prefix they begin with a country code for certain.
 */
static bool find_digits(struct cleaned *cleaned, enum phone_prefix *prefix,
                        struct mistake *mistake) {
    char *text = cleaned->text, *end = text + cleaned->length;
    if (cleaned->length == 0) {
        return refuse(mistake, "phone_empty");
    } else if (cleaned->length > MAX_LENGTH) {
        return refuse_count(mistake, "phone_long", "length", cleaned->length);
    }
    const char *code = shape_problem(text, end);
    if (code != NULL) {
        return refuse(mistake, code);
    }
    end = drop(text, end, " ");
    const char *bad = text + strspn(text, SEPARATORS);
    bad += *bad == '+';
    bad += strspn(bad, SEPARATORS DIGITS);
    if (bad < end) {
        return refuse_character(mistake, text, bad, end);
    } else if (!drop_bracketed_zero(text, mistake)) {
        return false;
    }
    drop(text, text + strlen(text), SEPARATORS);
    bool plus = text[0] == '+', zeros = strncmp(text, "00", 2) == 0;
    *prefix = plus ? PREFIX_PLUS : zeros ? PREFIX_ZEROS : PREFIX_NONE;
    size_t skipped = plus ? 1 : zeros ? 2 : 0;
    cleaned->length = strlen(text) - skipped;
    memmove(text, text + skipped, cleaned->length + 1);
    if (cleaned->length == 0 && !zeros) {
        return refuse(mistake, "phone_no_digits");
    }
    return true;
}

/* Countries ------------------------------------------------------------------------------------ */

/* Puts digits behind those that are there. `length` goes on counting where there is no room. */
static void join(struct phone *phone, const char *digits, size_t length) {
    size_t room = phone->length < sizeof phone->digits ? sizeof phone->digits - phone->length : 0;
    memcpy(phone->digits + sizeof phone->digits - room, digits, length < room ? length : room);
    phone->length += length;
}

static bool check_length(const struct phone *phone, struct mistake *mistake) {
    if (phone->length >= PHONE_MIN_DIGITS && phone->length <= PHONE_MAX_DIGITS) {
        return true;
    }
    return refuse_count(mistake, "phone_length", "digits", phone->length);
}

static bool check_international(const struct phone *phone, struct mistake *mistake) {
    if (phone->length > 0 && phone->digits[0] == '0') {
        return refuse(mistake, "phone_leading_zero");
    } else if (!check_length(phone, mistake)) {
        return false;
    } else if (phone->digits[0] != '1') {
        return true;
    } else if (phone->length != 11) {
        return refuse_count(mistake, "phone_length_of_1", "digits", phone->length);
    } else if (phone->digits[1] < '2') {
        return refuse_text(mistake, "phone_area_of_1", "digit", phone->digits + 1, 1);
    }
    return true;
}

/* Reads digits as those of a national number of this country, or of an international one that
 * begins with its code. */
static bool read_national(struct phone *phone, const char *digits, size_t length,
                          const struct country *country, struct mistake *mistake) {
    const char *trunk = trunk_of(country);
    size_t skipped = 0, trunk_length = strlen(trunk);
    if (length >= MIN_WITHOUT_PLUS && length >= country->length &&
        memcmp(digits, country->code, country->length) == 0) {
        join(phone, digits, length);
        return check_international(phone, mistake);
    }
    /* Numbers of country 7 have ten digits, and the first can be an 8 as well. */
    if (length >= trunk_length && memcmp(digits, trunk, trunk_length) == 0 &&
        !(trunk[0] == '8' && length <= MAX_NATIONAL)) {
        skipped = keeps_zero(country->code, country->length) ? 0 : trunk_length;
    } else if (strcmp(trunk, "0") != 0 && length > 0 && digits[0] == '0') {
        return refuse_text(mistake, "phone_no_trunk_zero", "country", country->code,
                           country->length);
    } else if (length > MAX_NATIONAL) {
        mistake_number(mistake_begin(mistake, "phone_other_country"), "digits", length);
        mistake_text(mistake, "country", country->code, country->length);
        mistake_text(mistake, "trunk", trunk, trunk_length);
        return false;
    }
    join(phone, country->code, country->length);
    join(phone, digits + skipped, length - skipped);
    if (skipped > 0 && phone->digits[0] == '1' && phone->length != 11) {
        /* The count of the digits would not tell what is wrong: a 0 at the beginning. */
        return refuse_text(mistake, "phone_no_trunk_zero", "country", country->code,
                           country->length);
    } else if (check_international(phone, mistake)) {
        return true;
    }
    mistake_text(mistake, "country", country->code, country->length);
    return false;
}

/* Why libphonenumber takes digits for no number of this region. */
static bool refuse_verdict(enum phone_verdict verdict, const struct phone_answer *answer,
                           size_t length, const struct country *country, struct mistake *mistake) {
    static const char *const codes[] = {
        [VERDICT_SHORT] = "phone_region_short",         [VERDICT_LONG] = "phone_region_long",
        [VERDICT_LENGTH] = "phone_region_length",       [VERDICT_LOCAL] = "phone_region_local",
        [VERDICT_COUNTRY] = "phone_region_country",     [VERDICT_NONE] = "phone_region_none",
        [VERDICT_AMBIGUOUS] = "phone_region_ambiguous", [VERDICT_FAILED] = "phone_region_failed",
    };
    mistake_begin(mistake, codes[verdict]);
    mistake_number(mistake, "digits", length);
    mistake_text(mistake, "region", country->code, country->length);
    if (answer->country[0] != '\0') {
        mistake_text(mistake, "country", answer->country, strlen(answer->country));
    }
    return false;
}

/* Reads digits as libphonenumber does for this region. */
static bool read_in_region(struct phone *phone, const char *digits, size_t length,
                           enum phone_prefix prefix, const struct country *country,
                           struct mistake *mistake) {
    struct phone_answer answer;
    if (prefix == PREFIX_PLUS && digits[0] == '0') {
        return refuse(mistake, "phone_leading_zero");
    } else if (length > PHONE_REGION_MAX_DIGITS) {
        return refuse_count(mistake, "phone_length", "digits", length);
    }
    enum phone_verdict verdict = country->read(country->code, digits, length, prefix, &answer);
    if (verdict != VERDICT_VALID && verdict != VERDICT_DOUBTFUL) {
        return refuse_verdict(verdict, &answer, length, country, mistake);
    }
    phone->is_doubtful = verdict == VERDICT_DOUBTFUL;
    join(phone, answer.digits, answer.length);
    return check_international(phone, mistake);
}

static bool read_digits(struct phone *phone, const char *digits, size_t length,
                        enum phone_prefix prefix, const struct country *country,
                        struct mistake *mistake) {
    bool international = prefix != PREFIX_NONE;
    phone->length = 0;
    phone->is_doubtful = false;
    if (country->read != NULL) {
        return read_in_region(phone, digits, length, prefix, country, mistake);
    } else if (!international && country->type == LUA_TSTRING) {
        return read_national(phone, digits, length, country, mistake);
    }
    join(phone, digits, length);
    if (!international && country->type == LUA_TBOOLEAN) {
        return check_length(phone, mistake);
    } else if (!international && digits[0] != '0' && length >= PHONE_MIN_DIGITS &&
               length < MIN_WITHOUT_PLUS) {
        return refuse_count(mistake, "phone_no_country", "digits", length);
    }
    return check_international(phone, mistake);
}

bool phone_read(struct phone *phone, const char *text, size_t length, const struct country *country,
                struct mistake *mistake) {
    struct cleaned cleaned;
    enum phone_prefix prefix = PREFIX_NONE;
    if (length > 0 && text[0] != '0' && count_digits(text, text + length) == length) {
        return read_digits(phone, text, length, PREFIX_NONE, country, mistake);
    }
    clean(&cleaned, text, length);
    return find_digits(&cleaned, &prefix, mistake) &&
           read_digits(phone, cleaned.text, cleaned.length, prefix, country, mistake);
}

bool phone_read_value(struct phone *phone, lua_State *L, int index, const struct country *country,
                      struct mistake *mistake) {
    if (lua_type(L, index) == LUA_TSTRING) {
        size_t length;
        const char *text = lua_tolstring(L, index, &length);
        return phone_read(phone, text, length, country, mistake);
    }
    struct number number = number_at(L, index); /* 0 where there is none */
    if (number_is_inexact(&number)) {
        return refuse(mistake, "inexact");
    } else if (!number.is_exact || lua_type(L, index) != LUA_TNUMBER) {
        mistake_given(mistake_begin(mistake, "phone_type"), L, index);
        return false;
    } else if (number.whole < 0) {
        return refuse(mistake, "phone_negative");
    }
    char digits[NUMBER_SIZE];
    size_t length = number_write(digits, number.whole);
    return phone_read(phone, digits, length, country, mistake);
}

/* What reads numbers by region, if heymarket.phonenumber is loaded and fits to this module. */
static phone_region_reader *region_reader(lua_State *L) {
    lua_getfield(L, LUA_REGISTRYINDEX, PHONE_REGION_KEY);
    const struct phone_region *region = lua_touserdata(L, -1);
    lua_pop(L, 1); /* the registry keeps it */
    return region != NULL && region->version == PHONE_REGION_VERSION ? region->read : NULL;
}

struct country phone_country(lua_State *L, int index) {
    struct country country = {lua_type(L, index), NULL, 0, NULL};
    if (country.type == LUA_TSTRING) {
        country.code = lua_tolstring(L, index, &country.length);
        if (country.length > 0 && !is_digit(country.code[0])) {
            country.read = region_reader(L);
            luaL_argcheck(L, country.read != NULL, index, "needs heymarket.phonenumber");
        }
    } else {
        luaL_argcheck(
            L, lua_isnoneornil(L, index) || (lua_isboolean(L, index) && !lua_toboolean(L, index)),
            index, "must be a calling code, a region, false or nil");
    }
    return country;
}

/* phone(value, default_country) -> digits | nil, code, values */
int rows_phone(lua_State *L) {
    struct phone number;
    struct mistake mistake;
    struct country country = phone_country(L, 2);
    if (phone_read_value(&number, L, 1, &country, &mistake)) {
        lua_pushlstring(L, number.digits, number.length);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, mistake.code);
    mistake_push_values(L, &mistake);
    return 3;
}
