problem-reference = If you ask us for help, say: code <strong>{ $code }</strong>, reference <strong>{ $reference }</strong>.
problem-trace = (Code { $code }, reference { $reference })
problem-developer = For the developer of the app
problem-link = This link isn't set up correctly
problem-link-words = The app that sent you here made a mistake. Nothing was shared with it. Please tell the makers of the app.
problem-gone = This page is no longer good
problem-gone-words = You have ten minutes to connect an app, and each link works once. Nothing was shared. Go back to the app and start again.
problem-foreign = We could not accept this form
problem-foreign-words = It did not come from this page in this browser. Nothing was changed. Go back, load the page again, and try once more.
problem-cookie = Turn on cookies to sign in
problem-cookie-words = Your browser does not keep cookies for this site, so we cannot keep you signed in. Turn cookies on, then try again.
problem-kiosk = Not on this computer
problem-kiosk-words = Other people use this computer too, so you can’t save files or add a passkey here. Do it on your own phone or computer. Nothing was changed.
problem-busy = Too many requests at once
problem-busy-words = Many requests came from your network in a short time. Nothing was shared. Go back to the app and try again in a minute.
problem-other-account = You are signed in as someone else
problem-other-account-words = This request was started with another account. Nothing was shared. Go back to the app and start again.
problem-ours = We can't do this right now
problem-ours-words = Something on our side is not working. Nothing was changed. Please try again in a few minutes.
problem-no-match = We could not open a record for you
problem-no-match-words = We could not find one record that is surely yours. Nothing was shared. Ask us for help, or ask at your next visit: with an ID, the front desk can set up your account.
problem-provider = The other sign-in service does not answer
problem-provider-words = We could not reach it, or did not understand its answer. Nothing was changed. Please try again in a few minutes, or sign in with your username and password.
problem-upstream = You are not signed in
problem-upstream-words = Signing in with the other service did not work, or took too long. Nothing was changed. Go back and try again.
problem-not-fresh = You have to sign in there again
problem-not-fresh-words = The app needs you to have signed in a moment ago, and the other service did not say that you did. Nothing was shared. Sign out there and try again, or sign in with your username and password.

leave-title = Back to the app
leave-words = Nothing was shared.
leave-no-record = There is no record to connect
leave-no-record-words = Your account is not linked to a record, or no longer, so no app can read one. Please ask us for help. Nothing was shared.
leave-kiosk = Apps can’t be connected here
leave-kiosk-words = Other people use this computer too. Connect the app on your own phone or computer. Nothing was shared.
leave-link = Go back to “{ $app }”
problem-wait = Too many tries
problem-wait-words = { $seconds ->
    [one] Please wait 1 second, then try again.
   *[other] Please wait { $seconds } seconds, then try again.
}
problem-half-gone = Sign in again
problem-half-gone-words = You have ten minutes between your password and the next step. Nothing was changed. Sign in again.
problem-passkey = We could not sign you in with this passkey
problem-passkey-words = It is not known here any more, or the request was too old. Go back and try again, or sign in with your password.
