login-title = Sign in
login-app = to connect <strong>{ $app }</strong> to a record.
login-again = You are signed in already. Before you connect this app, please type your password again.
login-username = Username
login-password = Password
login-idle = You will be signed out after { $minutes } minutes without use.
login-kiosk = Other people use this computer too. When you are done, choose “Finish” at the top of the page.
login-wrong = The username or the password is not right.
login-blocked = Too many wrong tries for this username. Sign in on a device, or at a place, where you signed in before, or ask us for a new password.
login-wait = { $seconds ->
    [one] Too many tries. Please wait 1 second, then try again.
   *[other] Too many tries. Please wait { $seconds } seconds, then try again.
}
login-somebody-else = This app was opened for somebody else. Sign in as the person who opened it, or open it again yourself.
login-or = Or sign in another way
login-with = Sign in with { $provider }

signed-out-title = Signed out
signed-out-heading = You are signed out
signed-out-shared = On a shared computer, close this window too.
signed-out-kiosk = Nothing of your visit is left here. The next person can sign in.
signed-out-again = Sign in again

end-session-title = Sign out?
end-session-ask = Do you want to sign out of { $brand }?
end-session-app = <strong>{ $app }</strong> asks whether you want to sign out of { $brand } too.
end-session-apps = Apps keep the access that you gave them.
end-session-stay = Stay signed in
