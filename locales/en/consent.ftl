# Whose record, what an app may see, for how long.
new-window = (opens in a new window)

record-title = Whose record?
record-intro = <strong>{ $app }</strong> can be connected to one record at a time.
record-legend = The app may read the record of
record-own = { $name } (you)
record-other = { $name } ({ $relation ->
    [parent] you are a parent
    [guardian] you are the guardian
    [attorney] you decide by power of attorney
    [partner] you are the spouse or partner
    [child] you are a son or daughter
    [grandparent] you are a grandparent
    [sibling] you are a brother or sister
   *[other] you act for this person
 })
record-continue = Continue
record-choose = Please choose whose record the app may read.

# Where somebody is who connects an app. Who is signed in already has the first step behind them.
step-sign-in = Step 1 of 3: sign in
step-choose = Step 2 of 3: choose what to share
step-back = Step 3 of 3: back to the app

consent-title = Connect “{ $app }”
consent-own = <strong>{ $app }</strong> asks to read <strong>your</strong> record ({ $record }).
consent-proxy = You are giving <strong>{ $app }</strong> access to the record of <strong>{ $record }</strong>, { $relation ->
    [parent] as a parent
    [guardian] as the guardian
    [attorney] by power of attorney
    [partner] as the spouse or partner
    [child] as a son or daughter
    [grandparent] as a grandparent
    [sibling] as a brother or sister
   *[other] for whom you act
 }. The app’s access ends when your access to this record ends.
consent-staff = <strong>{ $app }</strong> asks to work with the records that you may open.
consent-launched = You opened it for <strong>{ $patient }</strong>.
consent-choose = Choose another record
consent-since = You allowed this app before, on { $day }. Your answers then are filled in.
consent-changes = What changed about this app since then
consent-change-maker = The maker was { $before } and is now { $now }.
consent-change-policy = It has a new privacy policy.
consent-change-answer = { $question } The answer was “{ $before }” and is now “{ $now }”.
consent-about = About this app
consent-address = Your answer goes to { $address }.
consent-this-device = an app on this device
consent-what = What it may see
consent-news = What is new this time
consent-known = What the app asked before
consent-untick = Untick what you do not want to share.
consent-none = Untick all
consent-all = Tick all
consent-skip = Skip to your answer
consent-account = Your account
consent-identity = Who signed in
consent-identity-more = So that the app knows you again.
consent-needed = (needed)
consent-parts = Share only some of it
consent-parts-how = Untick “{ $what }” above, and tick what you want to share instead.
consent-part-of = Part of: { $whole }.
consent-only-codes = Only a part of these, which the app names by codes.
consent-codes = Show the codes
consent-others = Other records
consent-everything = Everything you may see
consent-everything-more = Every kind of record that your work lets you open.
consent-write = Add to and change: { $what }
consent-write-more = The app may write, not only read.
consent-long = For how long
consent-long-no = This time only
consent-long-no-more = { $minutes ->
    [60] For 1 hour.
   *[other] For { $minutes } minutes.
}
consent-long-year = Up to one year
consent-long-year-more = The app keeps reading when you are not there. It ends in one year, or when the app is not used for { $days } days.
consent-long-yes = Until I turn it off
consent-long-yes-more = The app keeps reading when you are not there. It ends when the app is not used for { $days } days.
consent-short = { $minutes ->
    [60] The app may read for 1 hour.
   *[other] The app may read for { $minutes } minutes.
}
consent-control = Once the app has your information, { $brand } can’t control it. HIPAA may not protect it there.
consent-withheld = Apps get what you can see here. A few kinds of records are not shared online.
consent-how = How this works
consent-deny = Don’t allow
consent-allow = Allow
consent-tick-one = Tick at least one thing the app may see, or choose “Don’t allow”.
consent-other-record = Another record was chosen in another window. Please look whose record this is now, and answer again.

fact-maker = Made by
fact-unknown = not said
fact-website = Website
fact-checked = checked
fact-unchecked = not checked by us
fact-policy = Privacy policy
fact-policy-link = Read it
fact-no-policy = none given
fact-nothing = The maker has told us nothing about this app and has not answered our questions.
fact-no-answers = The maker has not answered our questions.
fact-sells-data = Does it sell your data?
fact-shares-data = Does it give your data to other companies?
fact-keeps-data = Does it keep your data after you leave?
fact-deletes-data = Can you have your data deleted?
fact-tells-changes = Does it tell you when its privacy policy changes?
fact-yes = Yes
fact-no = No
fact-unanswered = Not answered

switch-title = Who is answering?
switch-launched = You are signed in as { $name }. This app was opened for somebody else, so you cannot answer for them.
switch-hint = You are signed in as { $name }. The app expected somebody else.
switch-stay = Continue as { $name }
switch-other = Sign in as somebody else

leave-done = You can go back to the app
leave-done-words = Your answer is on its way to the app. If nothing happens, use the link.
leave-late = Your ten minutes are over
leave-late-words = You had ten minutes to answer, and nothing was shared. Go back to the app, and start again if you like.
leave-chart = Go back to the chart
leave-chart-words = An app opened from a chart has five minutes and works once. Go back to the chart and open the app again. Nothing was shared.
