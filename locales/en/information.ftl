# Pages that tell everybody how things are done here.
assistance-link = Help in your language
assistance-title = Help in your language
assistance-intro = You can get an interpreter, and papers in your language. Help for people with disabilities, such as large print or sign language, is free too. Ask your care team or our help desk.
assistance-origin = The words in other languages come from samples of the U.S. Department of Health and Human Services.
translation-unreviewed = No qualified translator has reviewed these words yet. Where they are not clear, the English text counts. You can ask us, too.

rep-link = For a child, or somebody you care for
rep-title = The record of a child, or of somebody you care for
rep-age = You can sign up online if you are 18 or older. If you are younger, this page says what you can do.
rep-own = Each person has their own account. Do not use the account of somebody else, and do not share yours. We keep a log of who looked at what.
rep-how-title = How you get access
rep-how-ask = Ask the clinic at a visit. Bring an ID, and papers that show what you are to the person: a parent, a guardian, somebody they chose.
rep-how-agree = If the person is 18 or older and can decide, they have to agree.
rep-how-sign-in = We connect the record to your own account. Sign in as yourself. When an app asks, choose whose record it may read.
rep-levels-title = What you can see
rep-level-full = All of the record, but for care that the law keeps private.
rep-level-limited = Or visits, vaccines and bills.
rep-level-billing = Or bills and insurance.
rep-levels-which = The clinic tells you which. If the level lets you, you can write messages for the person.
rep-young-title = If you are under 18
rep-young-account = You can have an account of your own. Ask at a visit for a code, and sign up with it.
rep-young-address = Use an e-mail address that only you read. We do not take the address of a parent or guardian, for letters about your account would go to them.
rep-young-private = In some cases the law keeps care private for you. Then those who act for you do not see it. Ask your care team.
rep-end-title = When it ends
rep-end = Access ends when the time is over that was set, or when the clinic ends it. Apps that you connected to the record end with it, at once.
