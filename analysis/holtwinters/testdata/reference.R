# Writes reference_r.json: what R makes of its own data. See README.md.
suppressMessages(library(forecast))

numbers <- function(x) paste0("[", paste(sprintf("%.17g", as.numeric(x)), collapse = ","), "]")
case <- function(name, kind, params, level, trend, day, week, data, fitted, sse) sprintf(
  '{"name":"%s","multiplicative":%s,"params":%s,"level":%.17g,"trend":%.17g,"day":%s,"week":%s,\n"data":%s,\n"fitted":%s,\n"sse":%.17g}',
  name, if (kind == "additive") "false" else "true", params, level, trend, numbers(day), numbers(week),
  numbers(data), numbers(fitted), sse)
params <- function(...) { p <- c(...); paste0("{", paste(sprintf('"%s":%.17g', names(p), p), collapse = ","), "}") }

# HoltWinters starts its recursion at the second season, from a start it makes itself.
hw <- function(name, x, kind, given = NULL) {
  f <- frequency(x)
  m <- if (is.null(given)) HoltWinters(x, seasonal = kind)
       else HoltWinters(x, alpha = given[1], beta = given[2], gamma = given[3], seasonal = kind)
  # The start is what the same call gives for parameters that leave it alone.
  st <- decompose(ts(x[1:(2 * f)], start = start(x), frequency = f), kind)
  line <- coef(lm(t ~ i, data.frame(t = na.omit(as.numeric(st$trend)), i = 1:f + 0)))
  p <- params(Alpha = unname(m$alpha), Beta = unname(m$beta), Gamma = unname(m$gamma), Phi = 1)
  case(name, kind, p, line[1], line[2], st$figure, NULL, x[-(1:f)], m$fitted[, "xhat"], m$SSE)
}

holt <- function(name, x, a, b) {
  m <- HoltWinters(x, alpha = a, beta = b, gamma = FALSE)
  case(name, "additive", params(Alpha = a, Beta = b, Phi = 1), x[2], x[2] - x[1], NULL, NULL, x[-(1:2)], m$fitted[, "xhat"], m$SSE)
}

# Two seasons: hours in a day, days in a week, made here with fixed numbers.
taylor <- function() {
  i <- 0:(24 * 7 * 4 - 1)
  x <- 100 + 0.02 * i + 20 * sin(2 * pi * i / 24) + 10 * cos(2 * pi * i / 168) + 3 * sin(i * i)
  m <- dshw(ts(x), 24, 168, alpha = 0.1, beta = 0.01, gamma = 0.2, omega = 0.15, phi = 0.4)
  p <- params(Alpha = 0.1, Beta = 0.01, Gamma = 0.2, Omega = 0.15, Phi = 1, AR = 0.4)
  case("dshw", "multiplicative", p, m$model$l0, m$model$b0, m$model$s20[1:24], m$model$s10[1:168], x, m$fitted, sum(m$residuals^2))
}

cat("[", paste(c(
  hw("AirPassengers additive", AirPassengers, "additive", c(0.2, 0.05, 0.3)),
  hw("AirPassengers multiplicative", AirPassengers, "multiplicative", c(0.2, 0.05, 0.3)),
  hw("co2 additive", co2, "additive", c(0.5, 0.01, 0.4)),
  hw("AirPassengers additive fitted", AirPassengers, "additive"),
  hw("AirPassengers multiplicative fitted", AirPassengers, "multiplicative"),
  hw("co2 additive fitted", co2, "additive"),
  holt("uspop Holt", uspop, 0.8, 0.3),
  taylor()), collapse = ",\n"), "]\n", sep = "", file = "reference_r.json")
