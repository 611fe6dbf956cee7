factor-title = One more step
factor-code = Code from your authenticator app
factor-code-hint = Six digits. A recovery code works here too.
factor-recovery-code = Recovery code
factor-recovery-hint = One of the codes that you kept when you set up your passkey. Each works once.
factor-continue = Continue
factor-lost = Lost your device and your recovery codes? Ask us for help: we can start you over.
factor-wrong = This code is not right, or it was used already. Wait for the next one, or use a recovery code.
factor-blocked = Too many wrong codes for this account. Ask us for help.
factor-password-wrong = The password is not right. Nothing was changed.
factor-code-missing = Type a code too: your account has a second step. Nothing was changed.
factor-first-code-wrong = This code is not right. Check that your device shows the right time, and type the code that it shows now.
factor-last = Your account needs one of these to sign in. Add another one first.
factor-removed = The authenticator app was removed.

enrol-title = Set up your second step
enrol-required = Your account needs more than a password. It takes two minutes, once.
enrol-app = Use an authenticator app
enrol-scan = Scan this picture with an authenticator app on your phone.
enrol-type = Or type this key into the app, by time, with six digits:
enrol-open = Open it in an app on this device
enrol-confirm = The app shows a code of six digits. Type it here.
enrol-code = Code that the app shows

codes-title = Keep these recovery codes
codes-about = Print them or write them down. When your device is lost, each of them lets you in once.
codes-once = We show them this one time and keep no copy that anybody can read.
codes-kept = I have kept them. Continue

security-title = How you sign in
security-required = Your account needs an authenticator app or a passkey.
security-password = Your password, to change this
security-passkey-first = To change anything here, show first that you have your second step: use your passkey now, or type a code each time.
security-app = Authenticator app
security-app-on = Set up. You are asked for a code when you sign in with your password.
security-app-off = Not set up. With it, a password alone does not let anybody in.
security-app-begin = Set up an authenticator app
security-app-replace = Use another app or phone
security-app-remove = Remove the app
security-passkeys = Passkeys
security-codes = Recovery codes
security-codes-left = { $count ->
    [0] No code is left. Make new ones.
    [one] 1 code is left.
   *[other] { $count } codes are left.
}
security-codes-new = Make ten new codes

passkey-use = Use a passkey
passkey-add = Add a passkey
passkey-about = A passkey is kept by your phone, computer or security key, and opened with your finger, face or PIN. It replaces password and code.
passkey-name = Name, such as “My phone”
passkey-unnamed = Passkey
passkey-added-on = Added on { $day }.
passkey-used-on = Last used on { $day }.
passkey-remove = Remove
passkey-failed = That did not work. Nothing was changed. Try again, or use another way.
passkey-not-added = The passkey could not be added. Try again.
passkey-added = The passkey was added.
passkey-removed = The passkey was removed. Delete it on your device too.
passkey-script = Passkeys need JavaScript, which is switched off in this browser.
passkey-or = or
