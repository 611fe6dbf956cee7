# Making an account, and looking after it.
button-continue = Continue
button-save = Save

login-forgot = Forgot your password or username?
login-first = Is this your first time?
login-activate = Use your activation code
login-reset = Your password was changed. Sign in with the new one.
signed-out-idle = The page was not used for { $minutes } minutes, so we signed you out to keep your record private.

activate-title = Activate your account
activate-words = Use the code on your visit papers to make your account.
activate-code = Code from your visit papers
activate-code-detail = 13 letters and numbers. Dashes, spaces and capital letters do not matter.
activate-birth = Date of birth
activate-month = Month (1 to 12)
activate-day = Day
activate-year = Year (4 numbers)
activate-none = No code, or it does not work?
activate-none-online = Prove who you are online with { $provider }.
activate-none-visit = Ask for a new code at your next visit.
activate-none-verify = Or prove who you are to us with a photo ID. “Need help?” at the end of this page says how to reach us.
activate-rules = A code works once, for 60 days. Only the newest one works. We can't give codes by phone.
activate-slip = This code is not complete, or one character is not right. Look at your papers and type it again.
activate-birth-date = This is not a full date of birth. Type month, day and year in numbers.
activate-wrong = The code and the date of birth do not go together, or the code was tried too often. Look at both again. If it still does not work, ask for a new code at your next visit, or prove who you are to us.
activate-used = This code was used already. Sign in, or ask for a new password.
activate-expired = This code is too old, or you got a newer one. Ask for a new code at your next visit, or prove who you are to us.
activate-has-account = You have an account already. Sign in, or ask for a new password.
activate-account-title = Choose how you sign in
activate-account-name = Welcome, { $name }.
activate-account-button = Make my account

# For the printer of the visit papers.
activation-print = See your record online: go to { $page } and type the code { $code } and your date of birth. The code works once, until { $day }. Keep it to yourself.

username-detail = Any name you like. Not your e-mail address, and not a number from your record.
username-taken = Somebody has this username. Choose another one.
username-address = Your e-mail address can't be your username. Choose another one.
username-identifier = Others may know this number. Choose another username.
username-wrong = A username has 2 to 64 characters.

password-show = Show
password-current = Password you have now
password-new = New password
password-detail = At least { $shortest } characters. A short sentence is good. You can paste it from a password manager.
password-repeated = New password again
password-short = The new password is too short. It needs at least { $shortest } characters.
password-long = The new password is too long. It can have 256 characters.
password-guessable = This password is easy to guess. Choose another one, such as a few words that do not belong together.
password-differ = The two new passwords are not the same. Type them again.
password-same = The new password is the one you have now. Choose another one.
password-current-wrong = The password you have now is not right.
password-must = Somebody else set the password you have now. Choose your own before you go on.
password-effect = You stay signed in here. Other browsers are signed out. Apps keep the access that you gave them.

forgot-title = Get a new password
forgot-words = We send a link to the e-mail address of your account.
forgot-name = Username or e-mail address
forgot-button = Send the link
forgot-asked = If there is an account with an e-mail address, we sent a letter to it just now. The link in it works for { $minutes } minutes.
forgot-nothing = Nothing came? Look in the spam folder. After a change of your e-mail address, no link is sent for a day.
forgot-no-mail = No e-mail address in your account? Ask us for help, or ask for a new code at your next visit.

reset-title = Choose a new password
reset-username = Your username is <strong>{ $username }</strong>.
reset-effect = You will be signed out everywhere. Apps keep the access that you gave them.

link-gone-title = This link does not work any more
link-gone-words = Each link works once, and not for long. Nothing was changed.
link-gone-again = Ask for a new link

settings-title = Settings
settings-back = Back to settings
settings-username = Your username is <strong>{ $username }</strong>.
settings-password = Password
settings-password-done = Your new password is saved.
settings-email = E-mail address
settings-email-none = No e-mail address yet.
settings-letters = Letters
settings-letters-detail = Choose which e-mails you want.
settings-sessions = Where you are signed in
settings-security-detail = Authenticator app, passkeys, recovery codes
settings-sessions-detail = See all browsers, and sign them out.
settings-apps = Connected apps
settings-apps-detail = See what apps can read, and stop them.
settings-activated = Your account is ready, and you are signed in.
settings-activated-mail = Your account is ready, and you are signed in. We sent you a letter: open the link in it, so that we know the address is yours.

letters-to = They go to { $address }.
letters-no-address = We have no e-mail address of yours, so we send none.
letters-always = When your password or the way you sign in changes, we always write: it keeps your account safe. No letter has health information in it.
letters-digest = Once in three months: how many apps can read your record
letters-digest-more = Only if you connected an app that can read while you are away.
letters-preview = The letter, word for word
letters-saved = Saved.

email-guardian = This address is of somebody who acts for you, such as a parent. Letters about your account would go to them. Use an address that only you read, or leave it out.
email-shared-minor = Another account uses this address, and the two cannot share one. Use an address that only you read.
email-optional = E-mail address (you can leave this out)
email-detail = For a new password if you forget yours, and for notes about your account. We never send health information by e-mail.
email-wrong = This is not an e-mail address. Type it as in name@example.com.
email-current = Your address is <strong>{ $address }</strong>.
email-use = We use it to send you a link if you forget your password, and notes about your account. We never send health information by e-mail.
email-new = New e-mail address
email-button = Send a letter to this address
email-effect = The new address counts once you open the link in the letter. We tell the old address too. Then we send no link for a new password for 24 hours.
email-sent = We sent a letter to the new address. Open the link in it within 24 hours.
email-removed = Your e-mail address was taken out.
email-none-sent = This hospital does not send e-mail from here.
email-remove-title = Take the address out
email-remove-effect = Then we can't send you a link if you forget your password.
email-remove = Take it out

confirm-title = Is this your e-mail address?
confirm-words = Somebody wants to use <strong>{ $address }</strong> for their account. If that was you, press the button. If not, close this page.
confirm-shared = Another account uses this address too. Whoever reads this mailbox can ask for a new password for both. It is safer if each person has an address of their own.
confirm-anyway = Yes, use it all the same
confirm-button = Yes, use this address
confirm-done = Done. We use { $address } from now on.

sessions-words = If you do not know one of these, sign it out and change your password.
sessions-unknown = A browser
sessions-this = (this one)
sessions-since = Signed in
sessions-seen = Last used
sessions-end = Sign out
sessions-end-all = Sign out all others
sessions-ended = Signed out.
ago-moment = just now
ago-minutes = { $minutes ->
    [one] 1 minute ago
   *[other] { $minutes } minutes ago
}
ago-hours = { $hours ->
    [one] 1 hour ago
   *[other] { $hours } hours ago
}
ago-days = { $days ->
    [one] 1 day ago
   *[other] { $days } days ago
}

idle-title = { $minutes ->
    [one] 1 minute left
   *[other] { $minutes } minutes left
}
idle-words = You have not used this page for a while. To keep your record private, we will sign you out soon.
resume-title = You did not finish
resume-words = We signed you out before you sent this, to keep your record private. We kept it for you alone, until tomorrow. Passwords and codes were not kept.
resume-typed = What you typed
resume-send = Send it now
resume-drop = Throw it away

idle-stay = Stay signed in

staff-reset-title = Help someone to a new password
staff-reset-words = We send a link to the address that the person confirmed. You do not see it. Never ask for a password, and never tell one. On the phone you can't know who is asking, so the link goes nowhere else.
staff-reset-name = Username or e-mail address
staff-reset-button = Send the link
staff-reset-done = If there is an account with an e-mail address, a letter is on its way. If the person has none, they get a new code at their next visit.
