// Prints libphonenumber's example of a mobile number for each region, a line each: region, national
// format, international format, E.164, separated by tabs. Where it knows no mobile number, an
// example of any kind.
#include <phonenumbers/phonenumber.pb.h>
#include <phonenumbers/phonenumberutil.h>

#include <iostream>
#include <set>
#include <string>

using i18n::phonenumbers::PhoneNumber;
using i18n::phonenumbers::PhoneNumberUtil;

int main() {
    const PhoneNumberUtil &util = *PhoneNumberUtil::GetInstance();
    std::set<std::string> regions;
    util.GetSupportedRegions(&regions);
    for (const std::string &region : regions) {
        PhoneNumber number;
        if (!util.GetExampleNumberForType(region, PhoneNumberUtil::MOBILE, &number) &&
            !util.GetExampleNumber(region, &number)) {
            return 1;
        }
        std::cout << region;
        for (PhoneNumberUtil::PhoneNumberFormat format :
             {PhoneNumberUtil::NATIONAL, PhoneNumberUtil::INTERNATIONAL, PhoneNumberUtil::E164}) {
            std::string text;
            util.Format(number, format, &text);
            std::cout << "\t" << text;
        }
        std::cout << "\n";
    }
    return 0;
}
