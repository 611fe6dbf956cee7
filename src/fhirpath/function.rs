//! The functions by name, with how many arguments each takes.

macro_rules! functions {
    ($($name:literal $variant:ident $least:literal $most:literal;)*) => {
        /// A function of FHIRPath or of FHIR's own additions to it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Function { $($variant,)* }

        impl Function {
            /// The function and the least and most arguments it takes.
            pub(crate) fn find(name: &str) -> Option<(Self, usize, usize)> {
                match name {
                    $($name => Some((Self::$variant, $least, $most)),)*
                    _ => None,
                }
            }

            /// Its name as written.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

functions! {
    // Existence and filtering, N1 section 5.1 and 5.2
    "empty" Empty 0 0;
    "exists" Exists 0 1;
    "all" All 1 1;
    "allTrue" AllTrue 0 0;
    "anyTrue" AnyTrue 0 0;
    "allFalse" AllFalse 0 0;
    "anyFalse" AnyFalse 0 0;
    "subsetOf" SubsetOf 1 1;
    "supersetOf" SupersetOf 1 1;
    "count" Count 0 0;
    "distinct" Distinct 0 0;
    "isDistinct" IsDistinct 0 0;
    "where" Where 1 1;
    "select" Select 1 1;
    "repeat" Repeat 1 1;
    // Subsetting and combining, 5.3 and 5.4
    "single" Single 0 0;
    "first" First 0 0;
    "last" Last 0 0;
    "tail" Tail 0 0;
    "skip" Skip 1 1;
    "take" Take 1 1;
    "intersect" Intersect 1 1;
    "exclude" Exclude 1 1;
    "union" Union 1 1;
    "combine" Combine 1 1;
    // Conversion, 5.5
    "iif" Iif 2 3;
    "toBoolean" ToBoolean 0 0;
    "toInteger" ToInteger 0 0;
    "toDecimal" ToDecimal 0 0;
    "toString" ToString 0 0;
    "toDate" ToDate 0 0;
    "toDateTime" ToDateTime 0 0;
    "toTime" ToTime 0 0;
    "toQuantity" ToQuantity 0 1;
    "convertsToBoolean" ConvertsToBoolean 0 0;
    "convertsToInteger" ConvertsToInteger 0 0;
    "convertsToDecimal" ConvertsToDecimal 0 0;
    "convertsToString" ConvertsToString 0 0;
    "convertsToDate" ConvertsToDate 0 0;
    "convertsToDateTime" ConvertsToDateTime 0 0;
    "convertsToTime" ConvertsToTime 0 0;
    "convertsToQuantity" ConvertsToQuantity 0 1;
    // Strings, 5.6
    "indexOf" IndexOf 1 1;
    "lastIndexOf" LastIndexOf 1 1;
    "substring" Substring 1 2;
    "startsWith" StartsWith 1 1;
    "endsWith" EndsWith 1 1;
    "contains" ContainsText 1 1;
    "upper" Upper 0 0;
    "lower" Lower 0 0;
    "replace" Replace 2 2;
    "matches" Matches 1 1;
    "matchesFull" MatchesFull 1 1;
    "replaceMatches" ReplaceMatches 2 2;
    "length" Length 0 0;
    "toChars" ToChars 0 0;
    "trim" Trim 0 0;
    "split" Split 1 1;
    "join" Join 0 1;
    "escape" Escape 1 1;
    "unescape" Unescape 1 1;
    // Mathematics, 5.7
    "abs" Abs 0 0;
    "ceiling" Ceiling 0 0;
    "exp" Exp 0 0;
    "floor" Floor 0 0;
    "ln" Ln 0 0;
    "log" Log 1 1;
    "power" Power 1 1;
    "round" Round 0 1;
    "sqrt" Sqrt 0 0;
    "truncate" Truncate 0 0;
    // Tree, utility, 5.8 to 5.9 and section 7
    "children" Children 0 0;
    "descendants" Descendants 0 0;
    "trace" Trace 1 2;
    "now" Now 0 0;
    "timeOfDay" TimeOfDay 0 0;
    "today" Today 0 0;
    "not" Not 0 0;
    "type" Type 0 0;
    "aggregate" Aggregate 1 2;
    // FHIR's additions, <https://hl7.org/fhir/R4/fhirpath.html#functions>
    "extension" Extension 1 1;
    "hasExtension" HasExtension 1 1;
    "hasValue" HasValue 0 0;
    "getValue" GetValue 0 0;
    "resolve" Resolve 0 0;
}
