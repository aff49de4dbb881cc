// Phone numbers as libphonenumber reads them.
#include "phonenumber.h"

#include <phonenumbers/phonenumber.pb.h>
#include <phonenumbers/phonenumberutil.h>

#include <cstdio>
#include <cstring>
#include <set>
#include <string>

using i18n::phonenumbers::PhoneNumber;
using i18n::phonenumbers::PhoneNumberUtil;

namespace {

// A national number has at most ten digits nearly everywhere: so many could begin with a country
// code.
const size_t MIN_INTERNATIONAL = 11;

enum phone_verdict verdict_of_error(PhoneNumberUtil::ErrorType error) {
    switch (error) {
    case PhoneNumberUtil::INVALID_COUNTRY_CODE_ERROR:
        return VERDICT_COUNTRY;
    case PhoneNumberUtil::TOO_SHORT_AFTER_IDD:
    case PhoneNumberUtil::TOO_SHORT_NSN:
        return VERDICT_SHORT;
    case PhoneNumberUtil::TOO_LONG_NSN:
        return VERDICT_LONG;
    default:
        return VERDICT_NONE;
    }
}

enum phone_verdict verdict_of_number(const PhoneNumberUtil &util, const PhoneNumber &number) {
    switch (util.IsPossibleNumberWithReason(number)) {
    case PhoneNumberUtil::IS_POSSIBLE:
        return util.IsValidNumber(number) ? VERDICT_VALID : VERDICT_DOUBTFUL;
    case PhoneNumberUtil::IS_POSSIBLE_LOCAL_ONLY:
        return VERDICT_LOCAL;
    case PhoneNumberUtil::INVALID_COUNTRY_CODE:
        return VERDICT_COUNTRY;
    case PhoneNumberUtil::TOO_SHORT:
        return VERDICT_SHORT;
    case PhoneNumberUtil::TOO_LONG:
        return VERDICT_LONG;
    default:
        return VERDICT_LENGTH;
    }
}

// `number` keeps by what its country was found.
enum phone_verdict parse(const PhoneNumberUtil &util, const std::string &text,
                         const std::string &region, PhoneNumber *number) {
    const PhoneNumberUtil::ErrorType error = util.ParseAndKeepRawInput(text, region, number);
    if (error != PhoneNumberUtil::NO_PARSING_ERROR) {
        number->Clear();
        return verdict_of_error(error);
    }
    return verdict_of_number(util, *number);
}

bool is_possible(enum phone_verdict verdict) {
    return verdict == VERDICT_VALID || verdict == VERDICT_DOUBTFUL;
}

// Two zeros stand for a plus sign. Where that gives no number, they may be the beginning of what is
// dialled in this region before a country code, such as 0011.
enum phone_verdict parse_after_zeros(const PhoneNumberUtil &util, const std::string &digits,
                                     const std::string &region, PhoneNumber *number) {
    PhoneNumber other;
    const enum phone_verdict verdict = parse(util, "+" + digits, region, number);
    if (verdict == VERDICT_VALID) {
        return verdict;
    }
    const enum phone_verdict dialled = parse(util, "00" + digits, region, &other);
    const bool is_dialled =
        is_possible(dialled) && other.country_code_source() == PhoneNumber::FROM_NUMBER_WITH_IDD;
    if (is_dialled && !is_possible(verdict)) {
        number->Swap(&other);
        return dialled;
    }
    return is_dialled && dialled == VERDICT_VALID ? VERDICT_AMBIGUOUS : verdict;
}

enum phone_verdict parse_prefixed(const PhoneNumberUtil &util, const std::string &digits,
                                  const std::string &region, enum phone_prefix prefix,
                                  PhoneNumber *number) {
    if (prefix == PREFIX_ZEROS) {
        return parse_after_zeros(util, digits, region, number);
    } else if (prefix == PREFIX_PLUS) {
        return parse(util, "+" + digits, region, number);
    }
    const enum phone_verdict verdict = parse(util, digits, region, number);
    PhoneNumber other;
    if (!is_possible(verdict) || digits.length() < MIN_INTERNATIONAL ||
        number->country_code_source() != PhoneNumber::FROM_DEFAULT_COUNTRY ||
        parse(util, "+" + digits, region, &other) != VERDICT_VALID) {
        return verdict;
    } else if (other.country_code() == number->country_code()) {
        // 4915123456789 is a mobile number in Germany. To the library it is one without its country
        // code as well, since the area codes of Germany begin with 49, too.
        number->Swap(&other);
        return VERDICT_VALID;
    }
    return verdict == VERDICT_DOUBTFUL ? VERDICT_AMBIGUOUS : verdict;
}

enum phone_verdict read(const std::string &region, const std::string &digits,
                        enum phone_prefix prefix, struct phone_answer *answer) {
    const PhoneNumberUtil &util = *PhoneNumberUtil::GetInstance();
    PhoneNumber number;
    const enum phone_verdict verdict = parse_prefixed(util, digits, region, prefix, &number);
    if (number.has_country_code()) {
        std::snprintf(answer->country, sizeof answer->country, "%d", number.country_code());
    }
    if (!is_possible(verdict)) {
        return verdict;
    }
    std::string written;
    util.Format(number, PhoneNumberUtil::E164, &written);
    if (written.length() < 2 || written.length() > PHONE_REGION_MAX_DIGITS + 1) {
        return VERDICT_LENGTH;
    }
    answer->length = written.length() - 1;
    std::memcpy(answer->digits, written.c_str() + 1, answer->length + 1);
    return verdict;
}

} // namespace

enum phone_verdict phonenumber_read(const char *region, const char *digits, size_t length,
                                    enum phone_prefix prefix, struct phone_answer *answer) {
    std::memset(answer, 0, sizeof *answer);
    if (length > PHONE_REGION_MAX_DIGITS) {
        return VERDICT_LONG;
    }
    try {
        return read(region, std::string(digits, length), prefix, answer);
    } catch (...) {
        return VERDICT_FAILED;
    }
}

size_t phonenumber_regions(char *out, size_t capacity) {
    size_t length = 0;
    try {
        std::set<std::string> regions;
        PhoneNumberUtil::GetInstance()->GetSupportedRegions(&regions);
        for (const std::string &region : regions) {
            if (region.length() != 2 || capacity - length < 2) {
                return 0;
            }
            std::memcpy(out + length, region.data(), 2);
            length += 2;
        }
    } catch (...) {
        return 0;
    }
    return length;
}
